package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"hongyan/models"
	"hongyan/views/locale"
)

// userCommand manages logins from the command line: for the first one, for scripts,
// and for whoever lost a password. It works beside a running server.
func userCommand(ctx context.Context, call invocation) error {
	acts := map[string]func(context.Context, invocation) error{
		"create-main": createMain, "create-sub": createSub, "reset-password": resetPassword, "setup-link": setupLink,
	}
	if len(call.args) > 0 && isHelp(call.args[0]) {
		fmt.Fprintf(call.out, "hongyan user: one of %s; each takes -help\n", strings.Join(sortedKeys(acts), ", "))
		return flag.ErrHelp
	}
	if len(call.args) == 0 || acts[call.args[0]] == nil {
		fmt.Fprintf(call.err, "hongyan user: one of %s\n", strings.Join(sortedKeys(acts), ", "))
		return errUsage
	}
	act := acts[call.args[0]]
	call.args = call.args[1:]
	return act(ctx, call)
}

// withUsers parses the flags of one act and opens the store for it.
func withUsers(ctx context.Context, call invocation, f *flag.FlagSet, fn func(Config, *models.Store) error) error {
	if err := call.flags(f, 0); err != nil {
		return err
	}
	cfg, err := loadConfig(call.env)
	if err != nil {
		return err
	}
	return withStore(ctx, cfg, newLogger(cfg, call.err), func(store *models.Store) error {
		return explain(fn(cfg, store))
	})
}

func createMain(ctx context.Context, call invocation) error {
	var in models.MainAccount
	f := flag.NewFlagSet("user create-main", flag.ContinueOnError)
	f.StringVar(&in.Name, "account", "", "`name` of the company or team")
	f.StringVar(&in.UserName, "name", "", "`name` the main user signs in with")
	stdin := passwordFlag(f)
	return withUsers(ctx, call, f, func(_ Config, store *models.Store) error {
		var generated bool
		var err error
		if in.Password, generated, err = newPassword(call, *stdin); err != nil {
			return err
		}
		u, err := store.CreateMainAccount(ctx, in)
		if err != nil {
			return err
		}
		fmt.Fprintf(call.out, "main account %d, main user %s\n", u.AccountID, u.Name)
		showPassword(call, in.Password, generated)
		return nil
	})
}

func createSub(ctx context.Context, call invocation) error {
	var in models.UserInput
	f := flag.NewFlagSet("user create-sub", flag.ContinueOnError)
	account := f.Int64("account", 0, "`id` of the main account")
	f.StringVar(&in.Name, "name", "", "`name`, unique within the account")
	f.StringVar(&in.Role, "role", models.RoleRead, "full, ops (push, no configuration) or read")
	f.BoolVar(&in.AllProducts, "all-products", false, "may see every product")
	products := f.String("products", "", "`ids` of the products to see, separated by commas")
	f.BoolVar(&in.CanIM, "im", false, "may see and manage IM authorization")
	f.BoolVar(&in.CanContent, "content", false, "may see titles and bodies")
	stdin := passwordFlag(f)
	return withUsers(ctx, call, f, func(_ Config, store *models.Store) error {
		var generated bool
		var err error
		if in.Products, err = productIDs(*products); err != nil {
			return err
		}
		if in.Password, generated, err = newPassword(call, *stdin); err != nil {
			return err
		}
		u, err := store.CreateUser(ctx, models.SystemActor(*account), in)
		if err != nil {
			return err
		}
		fmt.Fprintf(call.out, "sub-account %s of main account %d\n", u.Name, u.AccountID)
		showPassword(call, in.Password, generated)
		return nil
	})
}

func resetPassword(ctx context.Context, call invocation) error {
	f := flag.NewFlagSet("user reset-password", flag.ContinueOnError)
	account := f.Int64("account", 0, "`id` of the main account; may be left out for a main user")
	name := f.String("name", "", "login `name`")
	stdin := passwordFlag(f)
	return withUsers(ctx, call, f, func(_ Config, store *models.Store) error {
		password, generated, err := newPassword(call, *stdin)
		if err != nil {
			return err
		}
		u, err := store.UserByLogin(ctx, *account, *name)
		if err != nil {
			return err
		}
		if err := store.ResetPassword(ctx, models.SystemActor(u.AccountID), u.ID, password); err != nil {
			return err
		}
		fmt.Fprintf(call.out, "new password for %s of main account %d; every session of theirs has ended\n", u.Name, u.AccountID)
		showPassword(call, password, generated)
		return nil
	})
}

func setupLink(ctx context.Context, call invocation) error {
	f := flag.NewFlagSet("user setup-link", flag.ContinueOnError)
	return withUsers(ctx, call, f, func(cfg Config, store *models.Store) error {
		base := cfg.PublicURL
		if base == "" {
			address, err := dialAddress(cfg.Listen)
			if err != nil {
				return err
			}
			base = "http://" + address
		}
		return printSetupLink(ctx, call.out, store, base, true)
	})
}

// passwordFlag lets scripts give a password without showing it in the list of
// processes.
func passwordFlag(f *flag.FlagSet) *bool {
	return f.Bool("password-stdin", false, "read the password from standard input; otherwise one is made and printed")
}

// newPassword reads the first line of standard input, or makes a password.
func newPassword(call invocation, stdin bool) (password string, generated bool, err error) {
	if !stdin {
		return rand.Text(), true, nil
	}
	line, err := bufio.NewReader(call.in).ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", false, errors.Join(errors.New("no password on standard input"), err)
	}
	return line, false, nil
}

func showPassword(call invocation, password string, generated bool) {
	if generated {
		fmt.Fprintf(call.out, "password: %s (shown once)\n", password)
	}
}

func productIDs(text string) ([]int64, error) {
	var out []int64
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		id, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("products: %q is not an id", part)
		}
		out = append(out, id)
	}
	return out, nil
}

// explain puts what models says about an error into English words, as the console
// would.
func explain(err error) error {
	if several, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // only what was joined at the top
		var all []error
		for _, one := range several.Unwrap() {
			all = append(all, explain(one))
		}
		return errors.Join(all...)
	}
	var e *models.Error
	if !errors.As(err, &e) || e.Key == "" {
		return err
	}
	bundle, berr := locale.NewBundle(func(string, string) {})
	if berr != nil {
		return err
	}
	text := bundle.Localizer(locale.English).T(e.Key, e.Data)
	if e.Field != "" {
		text = e.Field + ": " + text
	}
	return errors.New(text)
}
