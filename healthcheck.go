package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"time"
)

// healthTimeout is less than the timeout of the container's HEALTHCHECK.
const healthTimeout = 3 * time.Second

// healthcheckCommand asks the server on LISTEN for /healthz: the image has no
// shell and no curl.
func healthcheckCommand(ctx context.Context, call invocation) error {
	if err := call.flags(flag.NewFlagSet("healthcheck", flag.ContinueOnError), 0); err != nil {
		return err
	}
	cfg, err := loadConfig(call.env)
	if err != nil {
		return err
	}
	address, err := dialAddress(cfg.Listen)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // the status is all that matters
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", address, res.Status)
	}
	fmt.Fprintln(call.out, "ok")
	return nil
}

// dialAddress turns an address to listen on into one to connect to: "every
// interface" is reached through this host's own.
func dialAddress(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}
