package push

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
)

// Guard returns an Options.DialControl that lets only public unicast addresses
// through, and those in allow whatever they are. It judges the address about to be
// dialled, after names were resolved, so that no name can lead inside: neither one
// that resolves to a private address nor one that resolves differently the second
// time. Whoever dials for strangers (Web Push, webhooks) dials through it.
func Guard(allow []netip.Prefix) func(network, address string, c syscall.RawConn) error {
	own := make([]netip.Prefix, 0, len(allow))
	for _, p := range allow {
		if p = plain(p); p.IsValid() {
			own = append(own, p)
		}
	}
	return func(network, address string, _ syscall.RawConn) error {
		if !strings.HasPrefix(network, "tcp") {
			return fmt.Errorf("%w: not TCP", ErrAddressRefused)
		}
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: not an address and port", ErrAddressRefused)
		}
		// ::ffff:10.0.0.1 reaches 10.0.0.1.
		ip := at.Addr().Unmap()
		for _, p := range own {
			if p.Contains(ip.WithZone("")) {
				return nil
			}
		}
		if !public(ip) {
			return fmt.Errorf("%w: not public", ErrAddressRefused)
		}
		return nil
	}
}

// plain is a prefix as addresses are compared with it: without host bits, and of IPv4
// where it covers IPv4 written as IPv6.
func plain(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(a.Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

// public reports whether an address is one of the public internet's unicast
// addresses, by the registries of special-purpose addresses:
// https://www.iana.org/assignments/iana-ipv4-special-registry and
// https://www.iana.org/assignments/iana-ipv6-special-registry.
func public(ip netip.Addr) bool {
	if !ip.IsValid() || ip.Zone() != "" {
		return false // an address with a zone is of this link
	}
	if ip.Is6() {
		if inner, ok := nat64(ip); ok {
			return public(inner)
		}
		// What is assigned for global unicast lies in 2000::/3: this alone leaves out
		// ::, ::1, IPv4-compatible and -translated addresses, unique local, link- and
		// site-local, multicast, and the rest of NAT64.
		if !netip.MustParsePrefix("2000::/3").Contains(ip) {
			return false
		}
	}
	for _, s := range special() {
		if s.Contains(ip) {
			return false
		}
	}
	return true
}

// nat64 returns the IPv4 address that a NAT64 gateway with the well-known prefix would
// reach (RFC 6052). Networks without IPv4 see every IPv4 host under it.
func nat64(ip netip.Addr) (netip.Addr, bool) {
	if !netip.MustParsePrefix("64:ff9b::/96").Contains(ip) {
		return netip.Addr{}, false
	}
	b := ip.As16()
	return netip.AddrFrom4([4]byte(b[12:])), true
}

// special are the ranges that are not for hosts of the public internet.
func special() []netip.Prefix {
	p := netip.MustParsePrefix
	return []netip.Prefix{
		p("0.0.0.0/8"),       // this network
		p("10.0.0.0/8"),      // private
		p("100.64.0.0/10"),   // carrier-grade NAT
		p("127.0.0.0/8"),     // loopback
		p("169.254.0.0/16"),  // link-local; clouds answer for the machine itself here
		p("172.16.0.0/12"),   // private
		p("192.0.0.0/24"),    // protocol assignments
		p("192.0.2.0/24"),    // documentation
		p("192.88.99.0/24"),  // 6to4 relays, given up
		p("192.168.0.0/16"),  // private
		p("198.18.0.0/15"),   // benchmarks
		p("198.51.100.0/24"), // documentation
		p("203.0.113.0/24"),  // documentation
		p("224.0.0.0/4"),     // multicast
		p("240.0.0.0/4"),     // reserved, broadcast
		p("2001::/23"),       // protocol assignments: Teredo, ORCHID, benchmarks
		p("2001:db8::/32"),   // documentation
		p("2002::/16"),       // 6to4, which holds any IPv4 address
		p("3fff::/20"),       // documentation
	}
}
