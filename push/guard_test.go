package push_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hongyan/push"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	guard := push.Guard(nil)
	for _, at := range []string{
		"8.8.8.8:443", "1.1.1.1:443", "172.15.255.255:443", "172.32.0.0:443", "100.63.255.255:443", "100.128.0.0:443",
		"192.167.255.255:443", "192.169.0.0:443", "169.253.0.1:443", "198.17.255.255:443", "198.20.0.0:443", "223.255.255.255:443",
		"9.255.255.255:443", "11.0.0.0:443", "126.255.255.255:443", "128.0.0.0:443", "[::ffff:8.8.8.8]:443",
		"[2606:4700::1111]:443", "[2a00:1450:4001::200e]:443", "[2001:200::1]:443", "[2001:4860:4860::8888]:443", "[64:ff9b::808:808]:443",
	} {
		if err := guard("tcp", at, nil); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	for _, at := range []string{
		"0.0.0.0:443", "0.1.2.3:443", "10.0.0.1:443", "10.255.255.255:443", "100.64.0.0:443", "100.127.255.255:443",
		"127.0.0.1:443", "127.255.255.255:443", "169.254.169.254:80", "172.16.0.0:443", "172.31.255.255:443",
		"192.0.0.1:443", "192.0.2.1:443", "192.88.99.1:443", "192.168.0.1:443", "192.168.255.255:443", "198.18.0.1:443",
		"198.19.255.255:443", "198.51.100.1:443", "203.0.113.1:443", "224.0.0.1:443", "239.255.255.255:443", "240.0.0.1:443", "255.255.255.255:443",
		"[::]:443", "[::1]:443", "[::ffff:127.0.0.1]:443", "[::ffff:10.0.0.1]:443", "[::ffff:a9fe:a9fe]:443", "[::127.0.0.1]:443", "[::808:808]:443",
		"[::ffff:0:7f00:1]:443", "[64:ff9b::7f00:1]:443", "[64:ff9b::10.0.0.1]:443", "[64:ff9b:1::808:808]:443", "[100::1]:443",
		"[2001::1]:443", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]:443", "[2001:10::1]:443", "[2001:20::1]:443", "[2001:db8::1]:443",
		"[2002:7f00:1::]:443", "[3fff::1]:443", "[5f00::1]:443", "[fc00::1]:443", "[fd12:3456:789a::1]:443", "[fe80::1]:443", "[fe80::1%eth0]:443",
		"[2606:4700::1111%eth0]:443", "[fec0::1]:443", "[ff02::1]:443", "[ff0e::1]:443", "[4000::1]:443",
		"localhost:443", "push.example.com:443", "8.8.8.8", "", ":443", "8.8.8.8:https", "0x7f.1:443", "2130706433:443", "127.1:443", "010.0.0.1:443",
	} {
		if err := guard("tcp", at, nil); !errors.Is(err, push.ErrAddressRefused) {
			t.Errorf("%s was allowed: %v", at, err)
		}
	}
	for _, network := range []string{"udp", "unix", "ip", ""} {
		if err := guard(network, "8.8.8.8:443", nil); !errors.Is(err, push.ErrAddressRefused) {
			t.Errorf("%s was allowed: %v", network, err)
		}
	}
}

func TestGuardAllows(t *testing.T) {
	t.Parallel()
	var allow []netip.Prefix
	for _, p := range []string{"10.1.2.3/16", "::ffff:192.168.7.0/120", "fd00:1::/32", "127.0.0.1/32"} {
		allow = append(allow, netip.MustParsePrefix(p))
	}
	guard := push.Guard(append(allow, netip.Prefix{}))
	for at, want := range map[string]bool{
		"10.1.255.1:443": true, "10.2.0.1:443": false, "[::ffff:10.1.0.1]:443": true, "192.168.7.9:443": true, "192.168.8.1:443": false,
		"[fd00:1::7]:443": true, "[fd00:2::7]:443": false, "127.0.0.1:1": true, "127.0.0.2:1": false, "[::1]:1": false, "8.8.8.8:443": true,
	} {
		if err := guard("tcp4", at, nil); (err == nil) != want {
			t.Errorf("%s: %v, want allowed %v", at, err, want)
		}
	}
}

// The guard judges what a name resolves to, in the client that channels use.
func TestGuardedHTTP(t *testing.T) {
	t.Parallel()
	var asked, second int
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { second++ }))
	defer inside.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, inside.URL+"/secret", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	do := func(url string, allow ...netip.Prefix) (push.Reply, *push.Result) {
		h, err := push.NewHTTP(push.Options{Timeout: 10 * time.Second, DialControl: push.Guard(allow)})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		return h.Do(context.Background(), http.MethodPost, url, nil, nil)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"} {
		_, fault := do("http://" + host + ":" + port + "/wp/token-in-a-path")
		if fault == nil {
			t.Errorf("%s was called", host)
			continue
		}
		// 2130706433 may be no name at all for the resolver; it must only not be called.
		if host != "2130706433" && (fault.Outcome != push.BadTarget || fault.Code != push.CodeRefusedAddress || !fault.KeepToken) {
			t.Errorf("%s: %+v", host, fault)
		}
		if strings.Contains(fault.Text, "token-in-a-path") || strings.Contains(fault.Text, host) {
			t.Errorf("%s: the text repeats the address: %s", host, fault.Text)
		}
	}
	if asked != 0 {
		t.Errorf("%d calls went through", asked)
	}
	r, fault := do("http://127.0.0.1:"+port, netip.MustParsePrefix("127.0.0.0/8"))
	if fault != nil || r.Status != http.StatusTemporaryRedirect || asked != 1 || second != 0 {
		t.Errorf("allowed: %+v, %+v; %d calls, %d redirects followed", r, fault, asked, second)
	}
}
