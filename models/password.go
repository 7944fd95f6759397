package models

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
)

// Limits of a password, in characters.
const (
	MinPassword = 10
	MaxPassword = 128
)

// Cost of one password hash: OWASP's argon2id with 19 MiB, 2 passes, 1 thread.
// https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
const (
	hashMemory = 19 * 1024 // KiB
	hashPasses = 2
	hashSalt   = 16
	hashKey    = 32
)

// hashesAtOnce bounds the memory that concurrent sign-ins take.
const hashesAtOnce = 4

// noUserHash is the hash of a random password, checked for users who do not
// exist so that they take as long as those who do. Its parameters must be those
// above; a test compares them.
const noUserHash = "$argon2id$v=19$m=19456,t=2,p=1$KkIbfekAZ69MWmBxWD1AHA$PsOX9drgiJ49UPVyWrUV5kjI0bLNAKxQmcMhsnV8BJc"

func hashParams() *argon2id.Params {
	return &argon2id.Params{Memory: hashMemory, Iterations: hashPasses, Parallelism: 1, SaltLength: hashSalt, KeyLength: hashKey}
}

// checkPassword applies the rules for a new password of the named user.
func checkPassword(password, name, field string) error {
	n := utf8.RuneCountInString(password)
	first, _ := utf8.DecodeRuneInString(password)
	switch {
	case !utf8.ValidString(password):
		return invalid(field, "errors.text_chars", nil)
	case n < MinPassword:
		return invalid(field, "errors.password.short", map[string]any{"Min": MinPassword})
	case n > MaxPassword:
		return invalid(field, "errors.password.long", map[string]any{"Max": MaxPassword})
	case strings.EqualFold(strings.TrimSpace(password), strings.TrimSpace(name)):
		return invalid(field, "errors.password.is_name", nil)
	case strings.Count(password, string(first)) == n:
		return invalid(field, "errors.password.one_character", nil)
	}
	return nil
}

// hashPassword returns the argon2id hash of a password that passed checkPassword.
func (s *Store) hashPassword(ctx context.Context, password string) (string, error) {
	release, err := s.hashing(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	hash, err := argon2id.CreateHash(password, hashParams())
	if err != nil {
		return "", fmt.Errorf("models: hash password: %w", err)
	}
	return hash, nil
}

// passwordMatches reports whether password belongs to hash; "" stands for a user
// who does not exist and takes as long.
func (s *Store) passwordMatches(ctx context.Context, password, hash string) (bool, error) {
	release, err := s.hashing(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	known := hash != ""
	if !known {
		hash = noUserHash
	}
	if utf8.RuneCountInString(password) > MaxPassword {
		password = "" // never a valid one, and not worth hashing megabytes
	}
	ok, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, fmt.Errorf("models: check password: %w", err)
	}
	return ok && known, nil
}

// hashing waits for one of the few places to hash in.
func (s *Store) hashing(ctx context.Context) (release func(), err error) {
	select {
	case s.control.hashing <- struct{}{}:
		return func() { <-s.control.hashing }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("models: password: %w", ctx.Err())
	}
}
