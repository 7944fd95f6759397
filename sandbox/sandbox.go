// Package sandbox simulates the phone vendors' push services, so that a newcomer, a
// rehearsal and the tests can see a push arrive without a vendor account.
//
// A simulator speaks the vendor's real protocol on loopback and refuses what the
// vendor would refuse. It is written from the vendor's documents and shares no code
// with the senders in package push, so that a misunderstanding there is not
// repeated here. It stores nothing itself: what it received goes to a Recorder and
// the keys it accepts come from a Keys.
package sandbox

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base32"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"sync"
	"time"

	"hongyan/push"
)

// Received is one push as a simulator saw it.
type Received struct {
	// At is when the request was complete, by the simulator's clock.
	At      time.Time    `json:"at"`
	Channel push.Channel `json:"channel"`
	// Topic is the bundle id or package name, Token the device's address.
	Topic string `json:"topic"`
	Token string `json:"token"`
	// ID is the message id, the caller's or one made here.
	ID string `json:"id"`
	// Headers are the request's own apns-… headers; never a credential.
	Headers map[string]string `json:"headers"`
	// Payload is the request's body.
	Payload []byte `json:"payload"`
	// Status and Reason are the answer; Reason is "" for success.
	Status int    `json:"status"`
	Reason string `json:"reason,omitempty"`
	// Latency is how long the simulator held the answer back.
	Latency time.Duration `json:"latency"`
}

// Recorder takes what a simulator received. Record is called from many goroutines,
// each before the answer to that push goes out, so that an answered push is always
// on record; the answer waits for it.
type Recorder interface {
	Record(ctx context.Context, r Received)
}

// Key is a signing key that a simulator accepts.
type Key struct {
	ID     string
	Team   string
	Public *ecdsa.PublicKey
	// Topics limits the key to bundle ids; empty for any.
	Topics []string
	// Environments limits the key to services; empty for both.
	Environments []push.Environment
}

// Keys finds a key by its id; false when there is none. An error is a fault of the
// lookup, which the simulator answers as an internal error.
type Keys interface {
	Key(ctx context.Context, id string) (Key, bool, error)
}

// MemoryKeys is a Keys in memory, safe for concurrent use. The zero value is empty.
type MemoryKeys struct {
	mu   sync.RWMutex
	keys map[string]Key
}

// Add registers a key, replacing one of the same id.
func (m *MemoryKeys) Add(k Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil {
		m.keys = make(map[string]Key)
	}
	m.keys[k.ID] = k
}

// Remove forgets a key, as a revocation does.
func (m *MemoryKeys) Remove(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.keys, id)
}

// Key implements Keys.
func (m *MemoryKeys) Key(_ context.Context, id string) (Key, bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	k, ok := m.keys[id]
	return k, ok, nil
}

// KeyFile is a freshly made signing key as its owner holds it.
type KeyFile struct {
	// PEM is the .p8 file.
	PEM    []byte
	KeyID  string
	TeamID string
}

// NewKey makes a signing key in the form of Apple's .p8 files, and the public half
// to register with a simulator. Ids are random, of the vendor's shape.
func NewKey() (KeyFile, Key, error) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return KeyFile{}, Key{}, fmt.Errorf("sandbox: new key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return KeyFile{}, Key{}, fmt.Errorf("sandbox: new key: %w", err)
	}
	f := KeyFile{
		PEM:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		KeyID: randomID(), TeamID: randomID(),
	}
	return f, Key{ID: f.KeyID, Team: f.TeamID, Public: &priv.PublicKey}, nil
}

// ParsePublicKey reads the PEM of a .p8 file, or of its public half, for
// registering it with a simulator.
func ParsePublicKey(data []byte) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("sandbox: public key: not PEM")
	}
	if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		if priv, ok := k.(*ecdsa.PrivateKey); ok {
			return &priv.PublicKey, nil
		}
	}
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("sandbox: public key: %w", err)
	}
	pub, ok := k.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("sandbox: public key: not an EC key")
	}
	return pub, nil
}

// randomID returns ten characters A–Z and 2–7.
func randomID() string {
	var b [7]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return base32.StdEncoding.EncodeToString(b[:])[:10]
}

// Memory is a Recorder that keeps the newest pushes in memory. It is safe for
// concurrent use.
type Memory struct {
	mu    sync.Mutex
	keep  int
	list  []Received
	total int
}

// NewMemory returns a Memory that keeps the newest keep pushes.
func NewMemory(keep int) *Memory { return &Memory{keep: keep} }

// Record implements Recorder.
func (m *Memory) Record(_ context.Context, r Received) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total++
	if len(m.list) >= m.keep {
		m.list = m.list[len(m.list)-m.keep+1:]
	}
	m.list = append(m.list, r)
}

// List returns what is kept, oldest first.
func (m *Memory) List() []Received {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Received(nil), m.list...)
}

// Total is how many pushes were recorded ever.
func (m *Memory) Total() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total
}

// Lines is a Recorder that writes one JSON object per push and line, for programs
// that run a simulator alone and count afterwards.
type Lines struct {
	mu  sync.Mutex
	enc *json.Encoder
	err error
}

// NewLines returns a Lines that writes to w.
func NewLines(w io.Writer) *Lines { return &Lines{enc: json.NewEncoder(w)} }

// Record implements Recorder.
func (l *Lines) Record(_ context.Context, r Received) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.enc.Encode(r); err != nil && l.err == nil {
		l.err = err
	}
}

// Err returns the first error of writing.
func (l *Lines) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
