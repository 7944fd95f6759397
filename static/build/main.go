// Command build fills static/vendor with the third-party browser files that the
// console embeds: htmx and one SVG sprite of the icons named in static/icons.txt.
// It reads node_modules, which `npm ci` fills from the locked package list, and
// downloads nothing itself. Run it from the top of the repository.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	iconList   = "static/icons.txt"
	iconFolder = "node_modules/@tabler/icons/icons/outline"
	htmxSource = "node_modules/htmx.org/dist/htmx.min.js"
	target     = "static/vendor"

	symbolOpen = `" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round">`
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "assets:", err)
		os.Exit(1)
	}
}

func run() error {
	if _, err := os.Stat(filepath.Dir(htmxSource)); err != nil {
		return fmt.Errorf("third-party packages are missing, run npm ci first: %w", err)
	}
	htmx, err := os.ReadFile(htmxSource)
	if err != nil {
		return err
	}
	list, err := os.ReadFile(iconList)
	if err != nil {
		return err
	}
	sprite, err := buildSprite(strings.Fields(string(list)))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(target, "htmx.min.js"), htmx, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(target, "sprite.svg"), sprite, 0o644)
}

// buildSprite joins the named icons into one SVG with a symbol for each.
func buildSprite(ids []string) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("<svg xmlns=\"http://www.w3.org/2000/svg\">\n")
	for _, id := range ids {
		file, err := os.ReadFile(filepath.Join(iconFolder, id+".svg"))
		if err != nil {
			return nil, fmt.Errorf("icon %q of %s: %w", id, iconList, err)
		}
		body, err := shapes(string(file))
		if err != nil {
			return nil, fmt.Errorf("icon %q: %w", id, err)
		}
		out.WriteString(`<symbol id="` + id + symbolOpen + body + "</symbol>\n")
	}
	out.WriteString("</svg>\n")
	return out.Bytes(), nil
}

// shapes returns what stands inside the svg element, on one line, without the
// invisible 24×24 frame that every icon starts with.
func shapes(svg string) (string, error) {
	_, rest, ok := strings.Cut(svg, "<svg")
	if !ok {
		return "", fmt.Errorf("no svg element")
	}
	_, rest, ok = strings.Cut(rest, ">")
	if !ok {
		return "", fmt.Errorf("svg element is not closed")
	}
	inner, _, ok := strings.Cut(rest, "</svg>")
	if !ok {
		return "", fmt.Errorf("svg element has no end")
	}
	inner = strings.Replace(inner, `<path stroke="none" d="M0 0h24v24H0z" fill="none" />`, "", 1)
	lines := strings.Split(inner, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, ""), nil
}
