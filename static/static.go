// Package static holds the files that browsers load: our style sheets, script and
// logo, and the third-party files that `make assets` puts into vendor. It serves
// them under content hashes and knows nothing of pages or routes.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
)

// Prefix starts the path of every file that this package serves.
const Prefix = "/static/"

//go:embed css js img all:vendor
var files embed.FS

//go:embed icons.txt
var icons string

// required lists the third-party files that pages refer to.
func required() []string { return []string{"vendor/htmx.min.js", "vendor/sprite.svg"} }

// Icons returns the ids of the icons in the sprite, sorted.
func Icons() []string {
	ids := strings.Fields(icons)
	slices.Sort(ids)
	return ids
}

type file struct {
	url         string
	hash        string
	contentType string
	body        []byte
	gzipped     []byte // nil where compression does not pay
}

// Assets is the set of embedded files with their content hashes. It never changes
// after New and is safe for concurrent use.
type Assets struct {
	byName map[string]*file
}

// New hashes and compresses every embedded file. It fails only when an embedded
// file cannot be read, which would be a fault of the build.
func New() (*Assets, error) { return load(files) }

func load(fsys fs.FS) (*Assets, error) {
	a := &Assets{byName: make(map[string]*file)}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		f, err := newFile(name, body)
		a.byName[name] = f
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("static: load: %w", err)
	}
	return a, nil
}

func newFile(name string, body []byte) (*file, error) {
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:10])
	f := &file{
		url:         Prefix + hash + "/" + name,
		hash:        hash,
		contentType: contentType(name),
		body:        body,
	}
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if buf.Len() < len(body)*9/10 {
		f.gzipped = buf.Bytes()
	}
	return f, nil
}

// contentType does not ask the machine's MIME table for the types we ship, because
// it differs from host to host and a wrong one stops a script under nosniff.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// Missing returns the third-party files that were not there at build time; pages
// work without them, but show no icons. The cure is `make assets`.
func (a *Assets) Missing() []string {
	var out []string
	for _, name := range required() {
		if a.byName[name] == nil {
			out = append(out, name)
		}
	}
	return out
}

// URL returns the address of the named file, such as "css/app.css". An unknown
// name yields an address that answers 404.
func (a *Assets) URL(name string) string {
	if f := a.byName[name]; f != nil {
		return f.url
	}
	return Prefix + "none/" + name
}

// ServeHTTP serves the file that the request path names. A path with the current
// hash may be cached for ever; one with another hash (a page of an older or newer
// process during an update) gets the current content, not to be kept.
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, Prefix)
	hash, name, cut := strings.Cut(rest, "/")
	f := a.byName[name]
	if !ok || !cut || f == nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", `"`+f.hash+`"`)
	if hash == f.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	if strings.Contains(r.Header.Get("If-None-Match"), f.hash) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.body
	if f.gzipped != nil && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = f.gzipped
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	// The only error here is a reader that went away.
	_, _ = w.Write(body)
}

// acceptsGzip reads the header far enough to obey "gzip;q=0".
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q := strings.ReplaceAll(params, " ", "")
			return q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000"
		}
	}
	return false
}
