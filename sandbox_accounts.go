package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"hongyan/models"
	"hongyan/push"
	"hongyan/sandbox"
)

// rsaBits is the size of the keys in service accounts' files.
const rsaBits = 3072

// sandboxAccount is this installation's app at one vendor, as the simulator knows it:
// its id in requests, and the fields that make it a credential. Ids and secrets are
// derived from the secret key, or kept once where they cannot be, so that every
// process has the same.
func (s *process) sandboxAccount(ctx context.Context, c push.Channel) (sandbox.Account, error) {
	return makeAccount(c, s.secret, func() ([]byte, error) { return s.store.SandboxSecret(ctx, string(c), newRSAKey) })
}

// makeAccount makes an app at a vendor from a secret; key is the RSA key of one whose
// keys are in a file.
func makeAccount(c push.Channel, from models.Secret, key func() ([]byte, error)) (sandbox.Account, error) {
	seed, err := derive(from, "sandbox account "+string(c))
	if err != nil {
		return sandbox.Account{}, err
	}
	text := hex.EncodeToString(seed)
	id, secret := digits(text[:18]), text[18:50]
	a := sandbox.Account{ID: id}
	switch c {
	case push.Huawei:
		a.Fields = map[string]string{"app_id": id, "app_secret": secret}
		signReceipts(&a, text)
	case push.Honor:
		a.ID = "client" + id
		a.Fields = map[string]string{"app_id": id, "client_id": a.ID, "client_secret": secret}
	case push.Xiaomi:
		a.ID = secret
		a.Fields = map[string]string{"app_id": id, "app_key": id, "app_secret": secret}
	case push.OPPO:
		a.ID = text[:32]
		a.Fields = map[string]string{"app_key": a.ID, "master_secret": secret}
	case push.Vivo, push.Meizu:
		a.Fields = map[string]string{"app_id": id, "app_key": text[:32], "app_secret": secret}
	case push.WebPush:
		a.Fields, err = webPushKeys(from)
		a.ID = a.Fields["public_key"]
	case push.FCM:
		a.ID = "sandbox-" + text[:8]
		a.Fields, err = serviceAccount(key, func(key string) map[string]string {
			return map[string]string{
				"type": "service_account", "project_id": a.ID, "private_key_id": text[:40], "private_key": key,
				"client_email": "hongyan@" + a.ID + ".iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
			}
		})
	case push.Harmony:
		a.Fields, err = serviceAccount(key, func(key string) map[string]string {
			return map[string]string{"project_id": id, "key_id": text[:32], "private_key": key, "sub_account": digits(text[20:40])}
		})
		if err == nil {
			signReceipts(&a, text)
		}
	default:
		return a, fmt.Errorf("no sandbox account for %s", c)
	}
	return a, err
}

// signReceipts gives an account what its simulator signs receipts with.
func signReceipts(a *sandbox.Account, text string) {
	a.Fields["receipt_user"], a.Fields["receipt_key"] = "sandbox", text[24:56]
}

// webPushKeys derives the key pair of this installation's virtual web pages.
func webPushKeys(secret models.Secret) (map[string]string, error) {
	key, err := deriveECDSA(secret)
	if err != nil {
		return nil, err
	}
	private, err := key.ECDH()
	if err != nil {
		return nil, err
	}
	e := base64.RawURLEncoding
	return map[string]string{
		"public_key": e.EncodeToString(private.PublicKey().Bytes()), "private_key": e.EncodeToString(private.Bytes()),
		"subject": "mailto:sandbox@hongyan.example",
	}, nil
}

// ownAccount is a sandbox.Accounts with this installation's app at one vendor. It is
// made when a simulator first asks: some take a key that takes time to make.
type ownAccount struct {
	process *process
	channel push.Channel

	mu   sync.Mutex
	made bool
	have sandbox.Account
}

// Account implements sandbox.Accounts.
func (o *ownAccount) Account(ctx context.Context, id string) (sandbox.Account, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.made {
		a, err := o.process.sandboxAccount(ctx, o.channel)
		if err != nil {
			return sandbox.Account{}, false, err
		}
		o.have, o.made = a, true
	}
	return o.have, id == o.have.ID, nil
}

// digits makes decimal digits of hexadecimal ones.
func digits(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' {
			return '1' + r - 'a'
		}
		return r
	}, "1"+text[1:])
}

// serviceAccount is a credential that is a file with an RSA key in it.
func serviceAccount(key func() ([]byte, error), file func(key string) map[string]string) (map[string]string, error) {
	private, err := key()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(file(string(private)))
	return map[string]string{"service_account": string(text)}, err
}

// newRSAKey makes the key of a service account. That takes time, so it is kept.
func newRSAKey() ([]byte, error) {
	private, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// phoneMaker is handlers.Phones.
type phoneMaker struct{ process *process }

// Credentials implements handlers.Phones.
func (m phoneMaker) Credentials(ctx context.Context, platform string) ([]models.CredentialInput, error) {
	return m.process.sandboxCredentials(ctx, platform)
}

// Token implements handlers.Phones.
func (m phoneMaker) Token(ctx context.Context, c push.Channel, name string) (string, error) {
	return m.process.phoneToken(ctx, c, name)
}

// sandboxCredentials are this installation's keys for the simulators, as credentials
// of an app of that platform.
func (s *process) sandboxCredentials(ctx context.Context, platform string) ([]models.CredentialInput, error) {
	var out []models.CredentialInput
	for _, c := range slices.Sorted(maps.Keys(s.simulators)) {
		switch {
		case !models.ChannelFits(string(c), platform):
			continue
		case c == push.APNs:
			out = append(out, s.sandboxCredential())
			continue
		}
		a, err := s.sandboxAccount(ctx, c)
		if err != nil {
			return nil, err
		}
		out = append(out, models.CredentialInput{
			Channel: string(c), Environment: models.EnvironmentSandbox, Kind: string(c), Fields: a.Fields,
			Info: models.CredentialInfo{Shown: map[string]string{"app_id": a.Fields["app_id"]}},
		})
	}
	return out, nil
}

// phoneToken is the token that a vendor would give a virtual phone of that name.
func (s *process) phoneToken(ctx context.Context, c push.Channel, name string) (string, error) {
	if c != push.WebPush {
		return virtualToken(c, "", "", name)
	}
	a, err := s.sandboxAccount(ctx, c)
	if err != nil {
		return "", err
	}
	return virtualToken(c, sandbox.WebPushOrigin, a.ID, name)
}

// virtualToken is a token in the vendor's form; a browser's names the origin of its push
// service and the app, which has that id there.
func virtualToken(c push.Channel, origin, app, name string) (string, error) {
	sum := sha256.Sum256([]byte(string(c) + " " + name))
	text := hex.EncodeToString(sum[:])
	switch c {
	case push.WebPush:
		return sandbox.WebPushSubscription(origin, app, name)
	case push.Vivo:
		return text[:23], nil
	case push.Meizu:
		return text[:32], nil
	case push.OPPO:
		return "CN_" + text[:32], nil
	}
	return text, nil
}
