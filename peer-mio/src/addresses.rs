//! Addresses of the command line: how they are written, and which ones could never connect.

use crate::cli::DEFAULT_PORT;
use proto_core::legacy::MAX_ANCESTORS;
use proto_core::limits::MAX_PEERS;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Where to listen and whom to talk to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// Where datagrams are taken.
    pub listen: SocketAddr,
    /// The other peers, each once: at most [`MAX_PEERS`]; none only if there are ancestors.
    pub peers: Vec<SocketAddr>,
    /// Peers that run the ancestor, each once: at most [`MAX_ANCESTORS`].
    pub ancestors: Vec<Ipv4Addr>,
}

impl Addresses {
    /// Reads the words of `--listen`, `--ip` and `--legacy`.
    ///
    /// # Errors
    /// A sentence that says which address is wrong, and what to write.
    pub fn read(
        listen: Option<&str>,
        peers: &[String],
        ancestors: &[String],
    ) -> Result<Self, String> {
        let asked = match listen {
            None => None,
            Some(text) => Some(
                parse(text, DEFAULT_PORT)
                    .and_then(check_listen)
                    .map_err(|why| format!("--listen: {why}"))?,
            ),
        };
        let port = asked.map_or(DEFAULT_PORT, |address| address.port());
        let mut named = Vec::new();
        for text in peers {
            let address = parse(text, port)
                .and_then(|address| check_peer(address, asked))
                .map_err(|why| format!("--ip: {why}"))?;
            if !named.contains(&address) {
                named.push(address);
            }
        }
        let ancestors = read_ancestors(ancestors, &named)?;
        if (named.is_empty() && ancestors.is_empty()) || named.len() > MAX_PEERS {
            let count = named.len();
            return Err(format!("--ip: name 1 to {MAX_PEERS} peers, not {count}"));
        }
        let any = if named.iter().any(SocketAddr::is_ipv6) {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        } else {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        };
        Ok(Self {
            listen: asked.unwrap_or(SocketAddr::new(any, DEFAULT_PORT)),
            peers: named,
            ancestors,
        })
    }
}

/// Ancestors speak IPv4 alone, at ports that cannot be chosen.
fn read_ancestors(words: &[String], peers: &[SocketAddr]) -> Result<Vec<Ipv4Addr>, String> {
    let mut named = Vec::new();
    for text in words {
        let wrong = |why: &str| format!("--legacy: '{}' {why}", text.trim().escape_debug());
        let ip: Ipv4Addr = text
            .trim()
            .parse()
            .map_err(|_| wrong("is no IPv4 address; write it without a port"))?;
        if ip.is_unspecified() || is_many(IpAddr::V4(ip)) {
            return Err(wrong("names no single machine"));
        }
        if peers.iter().any(|peer| peer.ip() == IpAddr::V4(ip)) {
            return Err(wrong("is named by --ip too; it runs one or the other"));
        }
        if !named.contains(&ip) {
            named.push(ip);
        }
    }
    if named.len() > MAX_ANCESTORS {
        let count = named.len();
        return Err(format!(
            "--legacy: name at most {MAX_ANCESTORS} peers, not {count}: a group of the ancestor's has three"
        ));
    }
    Ok(named)
}

/// Reads one address; without a port it has `port`: a group usually listens on the same one
/// everywhere. An IPv4 address in IPv6 clothes (`::ffff:a.b.c.d`) is that IPv4 address.
fn parse(text: &str, port: u16) -> Result<SocketAddr, String> {
    let text = text.trim();
    let wrong = || {
        format!(
            "'{}' is no address; write ADDR, ADDR:PORT or [V6ADDR]:PORT",
            text.escape_debug()
        )
    };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']').ok_or_else(wrong)? {
            (host, "") => (host, port),
            (host, after) => {
                let digits = after.strip_prefix(':').ok_or_else(wrong)?;
                (host, port_number(digits).ok_or_else(wrong)?)
            }
        },
        None => match text.split_once(':') {
            // More than one colon: IPv6 without brackets, and so without a port.
            Some((host, digits)) if !digits.contains(':') => {
                (host, port_number(digits).ok_or_else(wrong)?)
            }
            _ => (text, port),
        },
    };
    if port == 0 {
        return Err(format!("'{text}' has port 0, where nobody can listen"));
    }
    let (host, zone) = match host.split_once('%') {
        None => (host, None),
        Some((host, zone)) => (host, Some(zone)),
    };
    let ip: IpAddr = host.parse().map_err(|_| wrong())?;
    match (ip.to_canonical(), zone) {
        (IpAddr::V6(v6), Some(zone)) if v6.is_unicast_link_local() => {
            let scope = interface(zone).ok_or_else(|| {
                format!(
                    "'{}': there is no network interface of that name here",
                    text.escape_debug()
                )
            })?;
            Ok(SocketAddrV6::new(v6, port, 0, scope).into())
        }
        (IpAddr::V6(v6), None) if v6.is_unicast_link_local() => Err(format!(
            "{v6} is link-local and means nothing without its interface; write [{v6}%eth0]:{port}"
        )),
        (_, Some(_)) => Err(format!(
            "'{}': only a link-local address (fe80::) has an interface",
            text.escape_debug()
        )),
        (ip, None) => Ok(SocketAddr::new(ip, port)),
    }
}

/// Digits alone: the standard parser takes a sign too.
fn port_number(digits: &str) -> Option<u16> {
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}

/// The index of a network interface, by its name or its number.
fn interface(zone: &str) -> Option<u32> {
    if let Ok(number) = zone.parse() {
        return Some(number).filter(|number| *number != 0);
    }
    if zone.is_empty() || zone.starts_with('.') || zone.contains('/') {
        return None;
    }
    let text = std::fs::read_to_string(format!("/sys/class/net/{zone}/ifindex")).ok()?;
    text.trim().parse().ok()
}

fn check_listen(address: SocketAddr) -> Result<SocketAddr, String> {
    if is_many(address.ip()) {
        return Err(format!("{} is a group of machines, not one", address.ip()));
    }
    Ok(address)
}

fn check_peer(address: SocketAddr, listen: Option<SocketAddr>) -> Result<SocketAddr, String> {
    let ip = address.ip();
    if ip.is_unspecified() {
        return Err(format!(
            "{ip} stands for every address and names no peer; write the address of its machine"
        ));
    }
    if is_many(ip) {
        return Err(format!(
            "{ip} is a group of machines; name each peer by itself"
        ));
    }
    match listen {
        Some(listen) if address.is_ipv6() && listen.is_ipv4() => Err(format!(
            "{address} is IPv6, but --listen {listen} is IPv4; use --listen [::]:{}",
            listen.port()
        )),
        Some(listen) if address.is_ipv4() && listen.is_ipv6() && !listen.ip().is_unspecified() => {
            Err(format!(
                "{address} is IPv4, but --listen {listen} is IPv6; use --listen [::]:{}, which takes both",
                listen.port()
            ))
        }
        _ => Ok(address),
    }
}

/// Multicast or broadcast.
fn is_many(ip: IpAddr) -> bool {
    ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(words: &[&str], listen: Option<&str>) -> Result<Vec<SocketAddr>, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Addresses::read(listen, &words, &[]).map(|addresses| addresses.peers)
    }

    fn peer(word: &str) -> String {
        peers(&[word], None).unwrap()[0].to_string()
    }

    #[test]
    fn addresses_are_read_with_and_without_port() {
        for (word, address) in [
            ("10.0.0.2", "10.0.0.2:22001"),
            (" 10.0.0.2:7 ", "10.0.0.2:7"),
            ("2001:db8::1", "[2001:db8::1]:22001"),
            ("[::1]", "[::1]:22001"),
            ("[::1]:7", "[::1]:7"),
            ("::ffff:10.0.0.2", "10.0.0.2:22001"),
            ("[::ffff:10.0.0.2]:7", "10.0.0.2:7"),
            ("fe80::1%2", "[fe80::1%2]:22001"),
            ("[fe80::1%lo]:7", "[fe80::1%1]:7"),
        ] {
            assert_eq!(peer(word), address, "{word}");
        }
    }

    #[test]
    fn what_can_never_connect_is_refused_with_a_reason() {
        for (word, reason) in [
            ("", "no address"),
            ("host", "no address"),
            ("10.0.0", "no address"),
            ("10.0.0.2:70000", "no address"),
            ("10.0.0.2:+7", "no address"),
            ("10.0.0.2:", "no address"),
            ("[::1", "no address"),
            ("::1]:7", "no address"),
            ("10.0.0.2:0", "port 0"),
            ("0.0.0.0", "every address"),
            ("[::]:7", "every address"),
            ("::ffff:0.0.0.0", "every address"),
            ("224.0.0.1", "group"),
            ("255.255.255.255", "group"),
            ("ff02::1", "group"),
            ("fe80::1", "link-local"),
            ("fe80::1%nosuchinterface", "interface"),
            ("fe80::1%../lo", "interface"),
            ("2001:db8::1%lo", "only a link-local"),
        ] {
            let error = peers(&[word], None).unwrap_err();
            assert!(
                error.starts_with("--ip: ") && error.contains(reason),
                "{word}: {error}"
            );
        }
        assert!(peers(&[], None).unwrap_err().contains("1 to 16"));
    }

    #[test]
    fn both_ends_must_be_of_one_kind() {
        let error = peers(&["::1"], Some("127.0.0.1:7")).unwrap_err();
        assert!(error.contains("--listen [::]:7"), "{error}");
        let error = peers(&["10.0.0.2"], Some("[2001:db8::1]:7")).unwrap_err();
        assert!(error.contains("takes both"), "{error}");
        assert!(peers(&["10.0.0.2", "::1"], Some("[::]:7")).is_ok());
        assert!(peers(&["10.0.0.2"], Some("::ffff:127.0.0.1")).is_ok());
        for wrong in ["here", "127.0.0.1:0", "224.0.0.1:7"] {
            let error = peers(&["10.0.0.2"], Some(wrong)).unwrap_err();
            assert!(error.starts_with("--listen: "), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_peer_named_twice_is_one_peer() {
        let named = peers(&["10.0.0.2", "10.0.0.3", "::ffff:10.0.0.2"], None).unwrap();
        assert_eq!(named.len(), 2);
        assert_eq!(named[0].to_string(), "10.0.0.2:22001");
    }

    #[test]
    fn without_listen_all_addresses_of_the_peers_kind_are_taken() {
        let listen = |word: &str| {
            Addresses::read(None, &[word.to_owned()], &[])
                .unwrap()
                .listen
                .to_string()
        };
        assert_eq!(listen("10.0.0.2"), "0.0.0.0:22001");
        assert_eq!(listen("::1"), "[::]:22001");
    }
}
