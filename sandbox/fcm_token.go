package sandbox

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	fcmGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	fcmScope = "https://www.googleapis.com/auth/firebase.messaging"
	// fcmAnyScope is the wider scope that covers the narrow one.
	fcmAnyScope = "https://www.googleapis.com/auth/cloud-platform"
	// fcmAudience: [oauth] aud "is always https://oauth2.googleapis.com/token".
	fcmAudience = "https://oauth2.googleapis.com/token"
	// fcmSkew is how far off a clock may be. Not documented.
	fcmSkew = 5 * time.Minute
)

// serviceAccount is what the simulator knows of an account from its file.
type serviceAccount struct {
	ProjectID    string `json:"project_id"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	ClientEmail  string `json:"client_email"`
}

// ServiceAccount makes a service account's file in the form of Google's, for a project
// and with a key. tokenURI stands in it as Google's own address does in a real one.
func ServiceAccount(project, tokenURI string, key *rsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("sandbox: service account: %w", err)
	}
	sum := sha256.Sum256(key.N.Bytes())
	out, err := json.MarshalIndent(map[string]string{
		"type": "service_account", "project_id": project, "private_key_id": hex.EncodeToString(sum[:20]),
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": "firebase-adminsdk-hy@" + project + ".iam.gserviceaccount.com",
		"client_id":    "100000000000000000000", "auth_uri": "https://accounts.google.com/o/oauth2/auth",
		"token_uri": tokenURI, "universe_domain": "googleapis.com",
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("sandbox: service account: %w", err)
	}
	return out, nil
}

// token is Google's token endpoint: [oauth] "making the access token request".
func (f fcm) token(s *Simulator, w http.ResponseWriter, r *http.Request, body []byte) {
	refuse := func(status int, code, about string) {
		googleJSON(w, status, map[string]string{"error": code, "error_description": about})
	}
	form, err := url.ParseQuery(string(body))
	if r.Method != http.MethodPost || err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		refuse(400, "invalid_request", "Bad Request")
		return
	}
	if form.Get("grant_type") != fcmGrant {
		refuse(400, "unsupported_grant_type", "Invalid grant_type: "+form.Get("grant_type"))
		return
	}
	a, ok := parseFCMAssertion(form.Get("assertion"))
	if !ok {
		refuse(400, "invalid_grant", "Invalid JWT")
		return
	}
	project, ok := fcmProject(a.claims.Iss)
	account, found, err := Account{}, false, error(nil)
	if ok {
		account, found, err = s.cfg.Accounts.Account(r.Context(), project)
	}
	if err != nil {
		refuse(500, "internal_failure", "Backend error")
		return
	}
	var file serviceAccount
	if !found || json.Unmarshal([]byte(account.Fields["service_account"]), &file) != nil || file.ClientEmail != a.claims.Iss {
		refuse(400, "invalid_grant", "Invalid grant: account not found")
		return
	}
	now := s.cfg.Now()
	switch {
	case a.head.Kid != "" && a.head.Kid != file.PrivateKeyID, !a.verify(file.PrivateKey):
		refuse(400, "invalid_grant", "Invalid JWT Signature.")
	case a.claims.Aud != fcmAudience && a.claims.Aud != s.URL()+"/token":
		refuse(400, "invalid_grant", "Invalid JWT: Failed audience check.")
	case !a.timely(now):
		refuse(400, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.")
	case !a.scoped():
		refuse(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
	default:
		googleJSON(w, http.StatusOK, map[string]any{
			"access_token": s.issue(project, fcmTokenLife), "expires_in": int(fcmTokenLife/time.Second) - 1, "token_type": "Bearer",
		})
	}
}

// fcmProject is the project that a service account's address names:
// name@PROJECT.iam.gserviceaccount.com.
func fcmProject(email string) (string, bool) {
	_, domain, ok := strings.Cut(email, "@")
	project, found := strings.CutSuffix(domain, ".iam.gserviceaccount.com")
	return project, ok && found && project != ""
}

// fcmAssertion is a parsed JWT: [oauth] "forming the JWT header", "the JWT claim set".
type fcmAssertion struct {
	head   struct{ Alg, Typ, Kid string }
	claims struct {
		Iss, Scope, Aud string
		Iat, Exp        int64
	}
	digest [sha256.Size]byte
	sig    []byte
}

func parseFCMAssertion(token string) (fcmAssertion, bool) {
	var a fcmAssertion
	parts := strings.Split(token, ".")
	if len(parts) != 3 || !decodePart(parts[0], &a.head) || !decodePart(parts[1], &a.claims) || a.head.Alg != "RS256" {
		return a, false
	}
	var err error
	a.sig, err = base64.RawURLEncoding.DecodeString(parts[2])
	a.digest = sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return a, err == nil
}

// verify checks the RS256 signature (RFC 7518 section 3.3).
func (a *fcmAssertion) verify(keyPEM string) bool {
	block, _ := pem.Decode([]byte(keyPEM))
	if block == nil {
		return false
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return false
	}
	key, ok := k.(*rsa.PrivateKey)
	return ok && rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, a.digest[:], a.sig) == nil
}

// timely: [oauth] exp "has a maximum of 1 hour after the issued time".
func (a *fcmAssertion) timely(now time.Time) bool {
	iat, exp := time.Unix(a.claims.Iat, 0), time.Unix(a.claims.Exp, 0)
	// The client's hour may begin at its signing and iat a little earlier.
	return exp.Sub(iat) <= time.Hour+time.Minute && exp.After(now) && iat.Before(now.Add(fcmSkew)) && iat.After(now.Add(-time.Hour-fcmSkew))
}

func (a *fcmAssertion) scoped() bool {
	for _, s := range strings.Fields(a.claims.Scope) {
		if s == fcmScope || s == fcmAnyScope {
			return true
		}
	}
	return false
}
