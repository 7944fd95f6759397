package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hongyan/models"
	"hongyan/push"
	"hongyan/sandbox"
)

// vendorsAlone are the vendors other than Apple whose simulators run alone.
func vendorsAlone() []string {
	var out []string
	for _, c := range sandbox.Channels() {
		out = append(out, string(c))
	}
	slices.Sort(out)
	return out
}

// accountFile is an app at a vendor as the command keeps it: what a client needs to
// send as this app.
type accountFile struct {
	Channel push.Channel `json:"channel"`
	// ID names the app in requests, Fields are its keys, as the console's form has them.
	ID     string            `json:"id"`
	Fields map[string]string `json:"fields"`
	// Packages limits it to package names; none for any.
	Packages []string `json:"packages,omitempty"`
	// Device is the token of a phone to send to.
	Device string `json:"device"`
}

// startVendorAlone starts the simulator of a vendor other than Apple for the app in the
// account's file.
func startVendorAlone(call invocation, o sandboxFlags, ca *sandbox.CA, recorder sandbox.Recorder, settings sandbox.Settings) (alone, error) {
	if o.account == "" {
		o.account = filepath.Join(filepath.Dir(o.caFile), "sandbox-"+o.channel+".json")
	}
	app, err := accountOf(push.Channel(o.channel), o.account)
	if err != nil {
		return nil, err
	}
	accounts := &sandbox.MemoryAccounts{}
	accounts.Add(sandbox.Account{ID: app.ID, Fields: app.Fields, Packages: app.Packages, ReceiptURL: o.receipts})
	cfg := sandbox.Config{
		Channel: app.Channel, Addr: o.listen, CA: ca, Accounts: accounts, Recorder: recorder, Settings: settings,
	}
	if o.receipts != "" {
		cfg.Settings.Receipts, cfg.Receipts = true, &http.Client{Timeout: receiptTimeout}
	}
	sim, err := sandbox.Start(cfg)
	if err != nil {
		return nil, err
	}
	// A browser's subscription names the address, which may be another today.
	if app.Device, err = virtualToken(app.Channel, sim.URL(), app.ID, "phone"); err == nil {
		err = app.write(o.account)
	}
	if err != nil {
		return nil, errors.Join(err, sim.Close())
	}
	fmt.Fprintf(call.out, "%s simulator at %s\napp and a device to send to in %s, certificate to trust in %s\n", app.Channel, sim.URL(), o.account, o.caFile)
	return sim, nil
}

// accountOf reads the app in a file, which clients know again when the simulator starts
// anew; without one it makes an app.
func accountOf(c push.Channel, path string) (accountFile, error) {
	var app accountFile
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newAccount(c)
	}
	if err != nil {
		return app, err
	}
	if err := json.Unmarshal(text, &app); err != nil {
		return app, fmt.Errorf("%s: %w", path, err)
	}
	if app.Channel != c || app.ID == "" {
		return app, fmt.Errorf("%s is no app of %s", path, c)
	}
	return app, nil
}

func newAccount(c push.Channel) (accountFile, error) {
	raw := make([]byte, keyBytes)
	_, _ = rand.Read(raw) // never fails, see crypto/rand
	a, err := makeAccount(c, models.Secret(base64.StdEncoding.EncodeToString(raw)), newRSAKey)
	return accountFile{Channel: c, ID: a.ID, Fields: a.Fields}, err
}

// write keeps the app for clients, and for the next start.
func (app accountFile) write(path string) error {
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(app); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}
