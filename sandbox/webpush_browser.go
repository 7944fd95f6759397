package sandbox

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// WebPushOrigin is an origin for subscriptions that shall outlive a simulator's port. Its
// name is reserved (RFC 6761 section 6.4), so that nothing else ever answers to it, and a
// sender with an Endpoint of its own takes it for that endpoint.
const WebPushOrigin = "https://webpush.invalid"

// WebPushSubscription is the subscription of a virtual browser at a Web Push simulator,
// as JSON: what a page would hand to its server. url is the simulator's Origin, key the
// public key that the page subscribes with, and id any name of the browser. The
// browser's keys follow from these, so that the simulator can read what is sent to it
// without keeping anything; they are no secrets.
func WebPushSubscription(url, key, id string) (string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil {
		return "", fmt.Errorf("sandbox: web push: the key is not base64url: %w", err)
	}
	name := base64.RawURLEncoding.EncodeToString([]byte(id))
	return webPushToken(url, webPushOwner(raw)+"."+name), nil
}

// webPushOwner is how a subscription names the key it is restricted to.
func webPushOwner(key []byte) string {
	sum := sha256.Sum256(key)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// webPushToken is the subscription with that id.
func webPushToken(url, id string) string {
	private, auth := webPushKeys(id)
	e := base64.RawURLEncoding
	return `{"endpoint":"` + url + webPushPath + id + `","keys":{"p256dh":"` + e.EncodeToString(private.PublicKey().Bytes()) +
		`","auth":"` + e.EncodeToString(auth) + `"}}`
}

// webPushKeys are the keys of a virtual browser.
func webPushKeys(id string) (private *ecdh.PrivateKey, auth []byte) {
	for n := 0; ; n++ {
		seed := sha256.Sum256(fmt.Appendf(nil, "hongyan virtual browser %d %s", n, id))
		if k, err := ecdh.P256().NewPrivateKey(seed[:]); err == nil { // nearly every number is one
			private = k
			break
		}
	}
	sum := sha256.Sum256([]byte("hongyan virtual browser auth " + id))
	return private, sum[:16]
}

const (
	// webPushHead is the header of [ece] 2.1 with a key of [enc] 4: salt, record size,
	// length of the key, key.
	webPushHead = 16 + 4 + 1 + 65
	webPushTag  = 16
)

// webPushOpen decrypts a message as the browser does: [enc] 3.4 and 4, [ece] 2. A push
// message is one record.
func webPushOpen(id string, body []byte) ([]byte, bool) {
	if len(body) < webPushHead+webPushTag+1 || body[20] != 65 {
		return nil, false
	}
	salt, size, sender, sealed := body[:16], binary.BigEndian.Uint32(body[16:20]), body[21:webPushHead], body[webPushHead:]
	if size < 18 || uint64(len(sealed)) > uint64(size) {
		return nil, false // [enc] 4: one record only
	}
	private, auth := webPushKeys(id)
	peer, err := ecdh.P256().NewPublicKey(sender)
	if err != nil {
		return nil, false
	}
	secret, err := private.ECDH(peer)
	if err != nil {
		return nil, false
	}
	info := "WebPush: info\x00" + string(private.PublicKey().Bytes()) + string(sender)
	ikm, err := hkdf.Key(sha256.New, secret, auth, info, 32)
	if err != nil {
		return nil, false
	}
	key, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, false
	}
	nonce, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, false
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, false
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, false
	}
	plain, err := gcm.Open(nil, nonce, sealed, nil)
	if err != nil {
		return nil, false
	}
	// [ece] 2: zeros are padding, and 2 ends the last record.
	for i := len(plain) - 1; i >= 0; i-- {
		if plain[i] != 0 {
			return plain[:i], plain[i] == 2
		}
	}
	return nil, false
}

// webPushMessageID makes an id of a message.
func webPushMessageID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}
