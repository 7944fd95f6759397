// Hongyan (鸿雁) is a self-hosted push console: it takes the messages that the
// users of an instant-messaging server missed while offline, delivers them through
// the phone vendors' push services, and shows operators what became of each.
//
// This package reads the command line and the environment, starts the parts in
// order and stops them in reverse. It is the only one that knows all others; what
// the parts do is theirs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	_ "time/tzdata" // accounts have time zones, and the image has no files
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the next one ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(execute(ctx, invocation{
		args: os.Args[1:], env: environment,
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
	}))
}

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// invocation is one run of the program: its words, environment and streams.
type invocation struct {
	args []string
	env  lookup
	in   io.Reader
	out  io.Writer
	err  io.Writer
}

// command is one row of the table of commands.
type command struct {
	name string
	args string // what follows the name
	help string
	run  func(ctx context.Context, call invocation) error
}

// commands is the table of commands; serve is the default.
func commands() []command {
	return []command{
		{"serve", "[-dump-config]", "start the console, the APIs and the background worker", serveCommand},
		{"migrate", "[-check]", "bring the database to this program's schema", migrateCommand},
		{"user", "create-main | create-sub | reset-password | setup-link", "manage logins from the command line", userCommand},
		{"backup", "[folder]", "copy a running SQLite installation, verified; on Postgres print the pg_dump line", backupCommand},
		{"restore", "[-force] folder", "put such a copy back", restoreCommand},
		{"sandbox", "[flags]", "run one vendor's simulator alone", sandboxCommand},
		{"doctor", "", "say what is wrong with configuration, certificate, database, keys, clock, disk and the XMPP connection", doctorCommand},
		{"healthcheck", "", "ask the server on LISTEN whether it is well, for containers", healthcheckCommand},
		{"version", "", "print the version", versionCommand},
	}
}

// errUsage is a wrong command line; its message has been printed.
var errUsage = errors.New("usage")

// execute runs one command and returns the exit code.
func execute(ctx context.Context, call invocation) int {
	name := "serve"
	if len(call.args) > 0 && !strings.HasPrefix(call.args[0], "-") {
		name, call.args = call.args[0], call.args[1:]
	}
	if name == "help" || (len(call.args) > 0 && name == "serve" && isHelp(call.args[0])) {
		usage(call.out)
		return exitOK
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		err := c.run(ctx, call)
		var bad *configError
		switch {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return exitOK
		case errors.Is(err, errUsage):
			return exitUsage
		case errors.As(err, &bad):
			fmt.Fprintln(call.err, "hongyan:", err)
			return exitUsage
		}
		fmt.Fprintf(call.err, "hongyan: %s: %v\n", name, err)
		return exitFailure
	}
	fmt.Fprintf(call.err, "hongyan: there is no command %q\n\n", name)
	usage(call.err)
	return exitUsage
}

func isHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }

// usage prints the commands and the configuration.
func usage(w io.Writer) {
	fmt.Fprint(w, "Hongyan, a self-hosted push console.\n\nCommands:\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(t, "  hongyan %s %s\t%s\n", c.name, c.args, c.help)
	}
	// A terminal's writer does not fail in a way that could be told on it.
	_ = t.Flush()
	fmt.Fprint(w, "\nConfiguration, from the environment:\n")
	for _, o := range options() {
		def := o.def
		if def == "" {
			def = "empty"
		}
		name := o.name
		if o.secret {
			name += ", or " + o.name + "_FILE"
		}
		fmt.Fprintf(w, "  %s (%s, default %s)\n      %s\n", name, o.kind, def, o.help)
	}
}

// flags parses a command's own flags; want is how many words may follow them.
func (call invocation) flags(f *flag.FlagSet, most int) error {
	f.SetOutput(call.err)
	if err := f.Parse(call.args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if i := slices.IndexFunc(f.Args(), func(a string) bool { return strings.HasPrefix(a, "-") }); i >= 0 {
		fmt.Fprintf(call.err, "hongyan %s: %s must come before %s\n", f.Name(), f.Arg(i), f.Arg(0))
		return errUsage
	}
	if f.NArg() > most {
		fmt.Fprintf(call.err, "hongyan %s: too many words: %q\n", f.Name(), f.Args())
		return errUsage
	}
	return nil
}
