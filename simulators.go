package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base32"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"hongyan/models"
	"hongyan/push"
	"hongyan/sandbox"
)

// sandboxKey returns the signing key that simulators of this installation accept.
// It is derived from the secret key, so that every process, and `hongyan sandbox`
// with the same settings, knows it without a table; the button of a sandbox page
// puts it into an app's credential.
func sandboxKey(secret models.Secret) (sandbox.KeyFile, sandbox.Key, error) {
	var file sandbox.KeyFile
	ids, err := derive(secret, "sandbox key ids")
	if err != nil {
		return file, sandbox.Key{}, err
	}
	letters := base32.StdEncoding.EncodeToString(ids)
	file.KeyID, file.TeamID = letters[:10], letters[10:20]
	private, err := deriveECDSA(secret)
	if err != nil {
		return file, sandbox.Key{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return file, sandbox.Key{}, err
	}
	file.PEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return file, sandbox.Key{ID: file.KeyID, Team: file.TeamID, Public: &private.PublicKey}, nil
}

// deriveECDSA derives a P-256 key. Nearly every 32 bytes are one; the loop is for
// the rest.
func deriveECDSA(secret models.Secret) (*ecdsa.PrivateKey, error) {
	var err error
	for try := range 8 {
		raw, derr := derive(secret, fmt.Sprintf("sandbox key %d", try))
		if derr != nil {
			return nil, derr
		}
		key, perr := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
		if perr == nil {
			return key, nil
		}
		err = perr
	}
	return nil, err
}

// startSimulators starts the vendors' simulators, or finds the one that runs apart,
// and remembers for the worker where they are.
func (s *process) startSimulators(secret models.Secret) error {
	if !s.cfg.Sandbox {
		return nil
	}
	s.simulators = map[push.Channel]push.Options{}
	var err error
	var key sandbox.Key
	if s.sandboxKey, key, err = sandboxKey(secret); err != nil {
		return err
	}
	if err := s.startVendors(); err != nil {
		return err
	}
	if s.cfg.SandboxAPNs != "" {
		ca, err := os.ReadFile(s.cfg.SandboxCA)
		if err != nil {
			return err
		}
		s.simulators[push.APNs] = push.Options{Endpoint: "https://" + s.cfg.SandboxAPNs, RootCAs: ca}
		return nil
	}
	keys := &sandbox.MemoryKeys{}
	keys.Add(key)
	sim, err := sandbox.StartAPNs(sandbox.APNsConfig{Keys: keys, Recorder: inbox{s.store, s.con.log}, SettingsFor: s.settingsOf(push.APNs)})
	if err != nil {
		return err
	}
	s.parts.started("simulators", shareQuick, func(context.Context) error { return sim.Close() })
	s.simulators[push.APNs] = push.Options{Endpoint: sim.URL(), RootCAs: sim.CA().PEM()}
	return nil
}

// receiptTimeout bounds a simulator's report.
const receiptTimeout = 10 * time.Second

// startVendors starts the simulators of the vendors other than Apple.
func (s *process) startVendors() error {
	s.vendors = map[push.Channel]*sandbox.Simulator{}
	ca, err := sandbox.NewCA(time.Now())
	if err != nil {
		return err
	}
	// To this process itself, whose answers are quick.
	receipts := &http.Client{Timeout: receiptTimeout}
	for _, c := range sandbox.Channels() {
		sim, err := sandbox.Start(sandbox.Config{
			Channel: c, CA: ca, Accounts: &ownAccount{process: s, channel: c}, Recorder: inbox{s.store, s.con.log}, SettingsFor: s.settingsOf(c),
			Receipts: receipts, ReceiptURL: s.receiptsOf(c), Origin: sandbox.WebPushOrigin,
		})
		if err != nil {
			return err
		}
		s.parts.started("simulator of "+string(c), shareQuick, func(context.Context) error { return sim.Close() })
		s.vendors[c] = sim
		s.simulators[c] = push.Options{Endpoint: sim.URL(), RootCAs: ca.PEM()}
	}
	return nil
}

// simulator says where a channel's simulator listens, for the worker.
func (s *process) simulator(c push.Channel) (push.Options, bool) {
	o, ok := s.simulators[c]
	return o, ok
}

// inbox keeps what a simulator received, for the page of the virtual phones.
type inbox struct {
	store *models.Store
	log   *slog.Logger
}

// Record implements sandbox.Recorder.
func (in inbox) Record(ctx context.Context, r sandbox.Received) {
	route, err := in.store.FindSandboxRoute(ctx, string(r.Channel), r.Token)
	if models.KindOf(err) == models.NotFound {
		return // a token that no device of ours has registered, as from a test program
	}
	if err == nil {
		var headers []byte
		// A map of strings always marshals.
		headers, _ = json.Marshal(r.Headers)
		err = in.store.AddSandboxPush(ctx, route, models.SandboxPush{
			Channel: string(r.Channel), VendorID: r.ID, Status: r.Status, Reason: r.Reason,
			Ms: int(r.Latency.Milliseconds()), Headers: string(headers), Payload: r.Payload, At: r.At,
		})
	}
	if err != nil {
		// The phone has it; only the picture of it is missing.
		in.log.Error("sandbox inbox", "err", err)
	}
}

// settingsOf returns, for a channel's simulator, the settings of the app that a token
// belongs to, as its sandbox page has them.
func (s *process) settingsOf(c push.Channel) func(context.Context, string) (sandbox.Settings, bool) {
	faults := sandbox.Faults(c)
	return func(ctx context.Context, token string) (sandbox.Settings, bool) {
		got, err := s.store.SimulatorFor(ctx, string(c), token)
		if err != nil {
			if models.KindOf(err) != models.NotFound {
				s.con.log.Error("simulator settings", "err", err)
			}
			return sandbox.Settings{}, false
		}
		if got.LatencyMs == 0 && got.ErrorPercent == 0 {
			sim := s.vendors[c]
			if sim == nil {
				return sandbox.Settings{}, false // Apple reports nothing
			}
			set := sim.Settings() // as the simulator itself is set
			set.Receipts = got.Receipts
			return set, true
		}
		codes := map[string][]string{
			models.MixAll:      {faults.Throttled, faults.Token, faults.Server},
			models.MixThrottle: {faults.Throttled},
			models.MixToken:    {faults.Token},
			models.MixServer:   {faults.Server},
		}[got.Mix]
		set := sandbox.Settings{Latency: time.Duration(got.LatencyMs) * time.Millisecond, Receipts: got.Receipts}
		if got.ErrorPercent > 0 && len(codes) > 0 {
			set.Mix = make(map[string]float64, len(codes))
			for _, r := range codes {
				set.Mix[r] = float64(got.ErrorPercent) / float64(len(codes))
			}
		}
		return set, true
	}
}

// receiptsOf returns, for a channel's simulator, the receipt address of the app that a
// token belongs to, as an operator would enter it in the vendor's console.
func (s *process) receiptsOf(c push.Channel) func(context.Context, string) string {
	return func(ctx context.Context, token string) string {
		region, secret, err := s.store.SandboxReceipts(ctx, string(c), token)
		if err != nil {
			if models.KindOf(err) != models.NotFound {
				s.con.log.Error("simulator receipts", "err", err)
			}
			return ""
		}
		return s.receiptURL(region, string(c), secret, true)
	}
}

// sandboxCredential is this installation's key for simulators, as an app's
// credential.
func (s *process) sandboxCredential() models.CredentialInput {
	return models.CredentialInput{
		Channel: string(push.APNs), Environment: models.EnvironmentSandbox, Kind: "p8",
		Fields: map[string]string{
			"kind": "p8", "p8": string(s.sandboxKey.PEM), "key_id": s.sandboxKey.KeyID, "team_id": s.sandboxKey.TeamID,
			"environments": "both",
		},
		Info: models.CredentialInfo{KeyID: s.sandboxKey.KeyID, TeamID: s.sandboxKey.TeamID},
	}
}
