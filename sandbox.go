package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"hongyan/push"
	"hongyan/sandbox"
)

// sandboxFlags are the flags of `hongyan sandbox`.
type sandboxFlags struct {
	channel             string
	listen, environment string
	caFile, record      string
	key, keyID, teamID  string
	latency, jitter     time.Duration
	mix                 string
	goAwayEvery         int
	account, receipts   string
}

// alone is a simulator as the command drives it.
type alone interface {
	URL() string
	Settings() sandbox.Settings
	Set(set sandbox.Settings) error
	Freeze(on bool)
	Disconnect()
	Close() error
}

// sandboxCommand runs one vendor's simulator alone, for rehearsals with several
// consoles and for tests that kill the console and count what arrived. While it
// runs it takes orders on its standard input: freeze, thaw, goaway (APNs), disconnect,
// latency 50ms, mix Unregistered=1.
func sandboxCommand(ctx context.Context, call invocation) error {
	var o sandboxFlags
	f := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	f.StringVar(&o.channel, "channel", string(push.APNs), "`vendor`: apns, "+strings.Join(vendorsAlone(), ", "))
	f.StringVar(&o.listen, "listen", "127.0.0.1:2197", "loopback `address` of the simulator")
	f.StringVar(&o.environment, "environment", "production", "service that APNs stands for: production or development")
	f.StringVar(&o.caFile, "ca", "sandbox-ca.pem", "`file` to write the certificate to that clients must trust (SANDBOX_CA_FILE)")
	f.StringVar(&o.record, "record", "", "`file` to append each push to, one JSON object a line; - is standard output")
	f.StringVar(&o.account, "account", "", "`file` of the app that a vendor other than Apple knows, made where there is none; sandbox-<vendor>.json beside the certificate by default")
	f.StringVar(&o.receipts, "receipts", "", "`address` entered in the vendor's console, where each push that it took is reported as arrived")
	f.StringVar(&o.key, "key", "", "APNs: signing key (.p8 `file`) to accept; without one a key is made beside the certificate")
	f.StringVar(&o.keyID, "key-id", "", "the key's `id`, with -key")
	f.StringVar(&o.teamID, "team-id", "", "the key's team `id`, with -key")
	f.DurationVar(&o.latency, "latency", 0, "how long every answer takes")
	f.DurationVar(&o.jitter, "jitter", 0, "how much longer it may take")
	f.StringVar(&o.mix, "mix", "", "share of answers by the vendor's `code`, in per cent: InternalServerError=2,Unregistered=1")
	f.IntVar(&o.goAwayEvery, "goaway-every", 0, "APNs: end a connection in good order after so many requests")
	if err := call.flags(f, 0); err != nil {
		return err
	}
	sim, record, err := startSandbox(call, o)
	if err != nil {
		return err
	}
	go func() { takeOrders(call, sim) }()
	<-ctx.Done()
	return errors.Join(sim.Close(), record.Close())
}

func startSandbox(call invocation, o sandboxFlags) (alone, io.Closer, error) {
	settings := sandbox.Settings{Latency: o.latency, Jitter: o.jitter, GoAwayEvery: o.goAwayEvery}
	err := o.check(call)
	if err != nil {
		return nil, nil, err
	}
	if settings.Mix, err = parseMix(o.mix); err != nil {
		return nil, nil, err
	}
	ca, err := sandbox.NewCA(time.Now())
	if err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(o.caFile, ca.PEM(), 0o644); err != nil {
		return nil, nil, err
	}
	recorder, closer, err := recorderTo(call, o.record)
	if err != nil {
		return nil, nil, err
	}
	start := startAppleAlone
	if o.channel != string(push.APNs) {
		start = startVendorAlone
	}
	sim, err := start(call, o, ca, recorder, settings)
	if err != nil {
		return nil, nil, errors.Join(err, closer.Close())
	}
	return sim, closer, nil
}

// check finds flags that do not go together.
func (o *sandboxFlags) check(call invocation) error {
	fault := ""
	switch apple := o.channel == string(push.APNs); {
	case !apple && !slices.Contains(vendorsAlone(), o.channel):
		fault = "-channel is apns, " + strings.Join(vendorsAlone(), ", ")
	case !apple && (o.key != "" || o.goAwayEvery != 0):
		fault = "-key and -goaway-every are for -channel apns"
	case apple && (o.account != "" || o.receipts != ""):
		fault = "-account and -receipts are for vendors other than Apple"
	default:
		return nil
	}
	fmt.Fprintln(call.err, "hongyan sandbox:", fault)
	return errUsage
}

func startAppleAlone(call invocation, o sandboxFlags, ca *sandbox.CA, recorder sandbox.Recorder, settings sandbox.Settings) (alone, error) {
	keys := &sandbox.MemoryKeys{}
	if err := addKey(call, keys, &o); err != nil {
		return nil, err
	}
	sim, err := sandbox.StartAPNs(sandbox.APNsConfig{
		Addr: o.listen, Environment: push.Environment(o.environment), CA: ca, Keys: keys, Recorder: recorder, Settings: settings,
	})
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(call.out, "APNs simulator at %s\nSANDBOX_APNS_ADDR=%s SANDBOX_CA_FILE=%s\n", sim.URL(), strings.TrimPrefix(sim.URL(), "https://"), o.caFile)
	return sim, nil
}

// addKey registers the key that the simulator accepts, made here unless given.
func addKey(call invocation, keys *sandbox.MemoryKeys, o *sandboxFlags) error {
	if o.key == "" {
		file, key, err := sandbox.NewKey()
		if err != nil {
			return err
		}
		path := filepath.Join(filepath.Dir(o.caFile), "AuthKey_"+file.KeyID+".p8")
		if err := os.WriteFile(path, file.PEM, 0o600); err != nil {
			return err
		}
		fmt.Fprintf(call.out, "signing key %s, key id %s, team id %s\n", path, file.KeyID, file.TeamID)
		keys.Add(key)
		addConsoleKey(call, keys)
		return nil
	}
	if o.keyID == "" || o.teamID == "" {
		fmt.Fprintln(call.err, "hongyan sandbox: -key needs -key-id and -team-id")
		return errUsage
	}
	text, err := os.ReadFile(o.key)
	if err != nil {
		return err
	}
	public, err := sandbox.ParsePublicKey(text)
	if err != nil {
		return err
	}
	keys.Add(sandbox.Key{ID: o.keyID, Team: o.teamID, Public: public})
	return nil
}

// addConsoleKey registers the key that the sandbox pages of the console with the
// same settings make, so that its apps can send here. The simulator also runs where
// no console is; its other settings are none of its business.
func addConsoleKey(call invocation, keys *sandbox.MemoryKeys) {
	cfg, _ := loadConfig(call.env) //nolint:errcheck // a wrong setting leaves the key out, and that is said
	secret, err := secretKeyOf(cfg, false)
	if err == nil {
		var key sandbox.Key
		if _, key, err = sandboxKey(secret); err == nil {
			keys.Add(key)
			fmt.Fprintf(call.out, "also takes the sandbox key of the console with this secret key, key id %s\n", key.ID)
			return
		}
	}
	fmt.Fprintf(call.out, "refuses the sandbox key of a console: start with its SECRET_KEY or DATA_DIR (%v)\n", err)
}

// recorderTo returns where pushes are written to, and what closes it.
func recorderTo(call invocation, path string) (sandbox.Recorder, io.Closer, error) {
	switch path {
	case "":
		return nil, io.NopCloser(nil), nil
	case "-":
		return sandbox.NewLines(call.out), io.NopCloser(nil), nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	// Unbuffered: whoever counts the lines while this runs must find every push
	// that was answered.
	return sandbox.NewLines(file), file, nil
}

// parseMix reads "InternalServerError=2,Unregistered=0.5".
func parseMix(text string) (map[string]float64, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no mix is a mix
	}
	mix := map[string]float64{}
	for part := range strings.SplitSeq(text, ",") {
		reason, share, _ := strings.Cut(strings.TrimSpace(part), "=")
		n, err := strconv.ParseFloat(share, 64)
		if err != nil {
			return nil, fmt.Errorf("mix: %q is not reason=per cent", part)
		}
		mix[reason] = n
	}
	return mix, nil
}

// takeOrders obeys the lines of standard input until it closes.
func takeOrders(call invocation, sim alone) {
	lines := bufio.NewScanner(call.in)
	for lines.Scan() {
		if err := obey(sim, strings.Fields(lines.Text())); err != nil {
			fmt.Fprintln(call.err, "hongyan sandbox:", err)
			continue
		}
		// Tests wait for this before they go on.
		fmt.Fprintln(call.out, "done:", lines.Text())
	}
}

func obey(sim alone, order []string) error {
	if len(order) == 0 {
		return nil
	}
	argument := strings.Join(order[1:], ",")
	set := sim.Settings()
	var err error
	switch order[0] {
	case "freeze":
		sim.Freeze(true)
		return nil
	case "thaw":
		sim.Freeze(false)
		return nil
	case "goaway":
		apple, ok := sim.(*sandbox.APNs)
		if !ok {
			return errors.New("goaway is for APNs")
		}
		apple.GoAway()
		return nil
	case "disconnect":
		sim.Disconnect()
		return nil
	case "latency":
		set.Latency, err = time.ParseDuration(argument)
	case "mix":
		set.Mix, err = parseMix(argument)
	default:
		return fmt.Errorf("no such order: %s", order[0])
	}
	if err != nil {
		return err
	}
	return sim.Set(set)
}
