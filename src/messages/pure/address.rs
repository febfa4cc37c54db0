//! The addresses that a channel may call. A URL is a secret: no fault shows more than its host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// The rules for the addresses of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy<'a> {
    /// The hosts that the channel may call.
    pub hosts: &'a [String],
    /// Whether plain HTTP is allowed, which is for tests.
    pub allows_http: bool,
    /// Whether addresses of private networks are allowed.
    pub allows_private: bool,
}

/// Why an address may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no URL with a host.
    #[error("the address is no URL with a host")]
    Url,
    /// Parsers read such characters in different ways.
    #[error("the address has a blank, a control character or a backslash")]
    Characters,
    /// Its scheme is not https.
    #[error("the address begins with {0}://, and must begin with https://")]
    Scheme(String),
    /// It has a user or a password.
    #[error("the address has a user or a password")]
    User,
    /// Its host is not in the list of the channel.
    #[error("the channel must not call host {0}")]
    Host(String),
    /// Its host is an address, or a name, of a private network.
    #[error("host {0} is in a private or reserved network")]
    Private(String),
}

/// An address that passed the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The address in its normal form. Only this form may be called: another parser could find
    /// another host in the original.
    pub url: Url,
    /// The host in lower case, without a trailing dot; the addresses that it resolves to must pass
    /// [`is_public`] too.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Checks an address before it is resolved.
///
/// # Errors
///
/// One [`Refusal`], the first rule that the address breaks.
pub fn check(address: &str, policy: Policy) -> Result<Target, Refusal> {
    if address.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(Refusal::Characters);
    }
    let mut url = Url::parse(address).map_err(|_| Refusal::Url)?;
    match url.scheme() {
        "https" => {}
        "http" if policy.allows_http => {}
        scheme => return Err(Refusal::Scheme(scheme.chars().take(20).collect())),
    }
    // An empty user disappears in the normal form, and readers still take it for the host.
    let rest = address.split_once("://").map(|(_, rest)| rest).ok_or(Refusal::Url)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err(Refusal::Url);
    }
    if !url.username().is_empty() || url.password().is_some() || authority.contains('@') {
        return Err(Refusal::User);
    }
    let host = normal(url.host_str().ok_or(Refusal::Url)?).ok_or(Refusal::Url)?;
    let port = url.port_or_known_default().ok_or(Refusal::Url)?;
    if !policy.hosts.iter().any(|allowed| normal(allowed).is_some_and(|name| name == host)) {
        return Err(Refusal::Host(host));
    }
    url.set_host(Some(&host)).map_err(|_| Refusal::Url)?;
    url.set_fragment(None);
    let is_private = match url.host() {
        Some(Host::Ipv4(address)) => !is_public(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => !is_public(IpAddr::V6(address)),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => return Err(Refusal::Url),
    };
    if is_private && !policy.allows_private {
        return Err(Refusal::Private(host));
    }
    Ok(Target { url, host, port })
}

/// A host in lower case and in ASCII, a number as an address, without a trailing dot. `None` for a
/// text that is no host.
fn normal(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.ends_with('.') {
        return None;
    }
    Host::parse(host).ok().map(|host| host.to_string())
}

/// Whether an address is one of the public internet: no loopback, no private or reserved network,
/// no metadata service, in no form. Each address that a host resolves to must pass.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        // This network, private networks, loopback.
        [0 | 10 | 127, ..]
            // Shared by carriers; a cloud's metadata service.
            | [100, 64..=127, ..]
            // Link-local, with the metadata services.
            | [169, 254, ..]
            | [172, 16..=31, ..]
            // The metadata and agent service of Azure, beside its public addresses.
            | [168, 63, 129, 16]
            // Protocol assignments, documentation, relays of 6to4.
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [192, 168, ..]
            // Benchmarking.
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            // Multicast, reserved, broadcast.
            | [224..=255, ..]
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // An IPv4 address within IPv6, and one behind the translator NAT64.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            embedded(high, low)
        }
        // Special purposes: Teredo, ORCHID, benchmarking.
        [0x2001, 0..=0x1ff, ..]
        // Documentation.
        | [0x2001, 0xdb8, ..]
        | [0x3fff, 0..=0xfff, ..]
        // 6to4, out of use: it carries any IPv4 address.
        | [0x2002, ..] => false,
        // ISATAP carries an IPv4 address behind any prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => false,
        // All other networks of the public internet begin with the bits 001.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
#[path = "address/tests.rs"]
mod tests;
