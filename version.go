package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
)

// release is set by the linker (Makefile, Dockerfile); "" in a plain `go build`.
var release string

// version returns the release, or what the Go command recorded about the build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return cmp.Or(release, "unknown")
	}
	var revision, modified string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-dirty"
		}
	}
	if revision != "" {
		revision += modified
	}
	return cmp.Or(release, revision, info.Main.Version, "unknown")
}

func versionCommand(_ context.Context, call invocation) error {
	if err := call.flags(flag.NewFlagSet("version", flag.ContinueOnError), 0); err != nil {
		return err
	}
	fmt.Fprintf(call.out, "hongyan %s (%s %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
