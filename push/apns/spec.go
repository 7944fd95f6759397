// Package apns sends through the Apple Push Notification service.
//
// It takes the notification, token and reason types from sideshow/apns2 and puts
// its own connections underneath: a few warmed HTTP/2 connections per credential
// and environment, bounded streams, coalesced writes, and answers read with their
// headers. It knows nothing of databases, logs or retries; see package push.
package apns

import (
	"strings"
	"time"

	"hongyan/push"
)

// Kinds of credentials.
const (
	kindP8  = "p8"
	kindP12 = "p12"
)

// Keys of the credential's fields.
const (
	fieldKind         = "kind"
	fieldP8           = "p8"
	fieldKeyID        = "key_id"
	fieldTeamID       = "team_id"
	fieldP12          = "p12"
	fieldPassword     = "password"
	fieldEnvironments = "environments"
)

// bothEnvironments is the value of the environments field for a credential that
// serves both.
const bothEnvironments = "both"

// maxPayload is Apple's limit for a notification in bytes:
// https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification
const maxPayload = 4096

// targetsPerSend bounds one Send; Apple takes one device per request, so this is
// only how much work one call carries.
const targetsPerSend = 1000

// Spec describes the channel: the fields of its two kinds of credentials, its
// limits, its codes, and how to open a sender.
func Spec() push.Spec {
	return push.Spec{
		Channel: push.APNs,
		Fields: []push.Field{
			{Key: fieldKind, Kind: push.FieldText, Required: true, Pattern: "p8|p12", MaxBytes: 3},
			{Key: fieldP8, Kind: push.FieldFile, MaxBytes: maxFile},
			{Key: fieldKeyID, Kind: push.FieldText, Pattern: "[A-Z0-9]{10}", MaxBytes: 10},
			{Key: fieldTeamID, Kind: push.FieldText, Pattern: "[A-Z0-9]{10}", MaxBytes: 10},
			{Key: fieldP12, Kind: push.FieldFile, MaxBytes: maxFile},
			{Key: fieldPassword, Kind: push.FieldSecret, MaxBytes: 256},
			{Key: fieldEnvironments, Kind: push.FieldEnv, Pattern: "production|development|both", MaxBytes: 16},
		},
		CheckTopic:   true, // apns-topic
		Limits:       push.Limits{TargetsPerRequest: targetsPerSend, PayloadBytes: maxPayload},
		Environments: environments(),
		Open:         Open,
		Inspect:      Inspect,
		Codes:        codes(),
	}
}

// Inspect reads the fields of a credential without a network. See push.Spec.
func Inspect(fields map[string]string, bundle string, now time.Time) (push.CredentialInfo, error) {
	c, err := parse(fields, now)
	if err != nil {
		return c.info, err
	}
	return c.info, MatchBundle(c.info, bundle)
}

// parse checks every field and opens the key or certificate.
func parse(fields map[string]string, now time.Time) (credential, error) {
	var c credential
	kind := fields[fieldKind]
	for _, f := range Spec().Fields {
		if belongsTo(f.Key, kind) {
			f.Required = f.Key != fieldPassword && f.Key != fieldEnvironments
			if err := f.Check(fields[f.Key]); err != nil {
				return c, err
			}
		}
	}
	var err error
	switch kind {
	case kindP8:
		c.keyID, c.teamID = fields[fieldKeyID], fields[fieldTeamID]
		c.key, c.info, err = ParseP8([]byte(fields[fieldP8]))
	case kindP12:
		c.cert, c.info, err = ParseP12([]byte(fields[fieldP12]), fields[fieldPassword], now)
	}
	if err != nil {
		return c, err
	}
	return c, narrow(&c.info, fields[fieldEnvironments])
}

// belongsTo reports whether a field is looked at for a kind of credential, so that
// what is left over from the other kind does no harm.
func belongsTo(field, kind string) bool {
	switch field {
	case fieldP8, fieldKeyID, fieldTeamID:
		return kind == kindP8
	case fieldP12, fieldPassword:
		return kind == kindP12
	}
	return true
}

// narrow keeps the environments the operator chose; choosing one that the
// certificate is not for is an error.
func narrow(info *push.CredentialInfo, chosen string) error {
	if chosen == "" || strings.EqualFold(chosen, bothEnvironments) {
		return nil
	}
	for _, e := range info.Environments {
		if string(e) == chosen {
			info.Environments = []push.Environment{e}
			return nil
		}
	}
	return &push.FieldError{Field: fieldEnvironments, Code: push.FieldEnvironment}
}

// good reports whether the credential serves an environment.
func (c *credential) good(e push.Environment) bool {
	for _, have := range c.info.Environments {
		if have == e {
			return true
		}
	}
	return false
}
