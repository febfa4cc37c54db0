use super::*;
use proptest::prelude::*;

fn checked(address: &str, hosts: &[&str]) -> Result<Target, Refusal> {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    check(address, Policy { hosts: &hosts, allows_http: false, allows_private: false })
}

#[test]
fn an_allowed_host_passes_in_each_spelling() {
    for address in [
        "https://hooks.slack.com/services/T/B/x",
        "https://HOOKS.slack.COM/services/T/B/x",
        "https://hooks.slack.com./services/T/B/x#part",
        "HTTPS://hooks.slack.com:443/services/T/B/x",
        "https://hooks%2eslack.com/services/T/B/x",
        "https://hooks。slack。com/services/T/B/x",
    ] {
        for allowed in ["hooks.slack.com", "Hooks.Slack.com."] {
            let target = checked(address, &["other.example", allowed]).expect(address);
            assert_eq!(target.url.as_str(), "https://hooks.slack.com/services/T/B/x");
            assert_eq!((target.host.as_str(), target.port), ("hooks.slack.com", 443));
        }
    }
    let target = checked("https://bücher.example:8443/", &["xn--bcher-kva.example"]);
    assert_eq!(target.map(|target| target.port), Ok(8_443));
    assert!(checked("https://xn--bcher-kva.example/", &["BÜCHER.example"]).is_ok());
    assert!(checked("https://8.8.8.8/", &["8.8.8.8"]).is_ok());
    assert!(checked("https://[2606:4700::1]/", &["[2606:4700:0::1]"]).is_ok());
}

#[test]
fn other_hosts_are_refused() {
    for address in [
        "https://slack.com/",
        "https://hooks.slack.com.evil.example/",
        "https://evil.example/hooks.slack.com",
        "https://evil.example?hooks.slack.com",
        "https://evil.example#@hooks.slack.com",
        "https://xhooks.slack.com/",
        "https://hooks-slack.com/",
        "https://hооks.slack.com/",
        "https://sub.hooks.slack.com/",
        "https://1.1.1.1/",
    ] {
        let refusal = checked(address, &["hooks.slack.com", "*", "*.slack.com", ""]);
        assert!(matches!(refusal, Err(Refusal::Host(_))), "{address}: {refusal:?}");
    }
}

#[test]
fn each_trick_has_its_refusal() {
    let host = "hooks.slack.com";
    for (address, refusal) in [
        ("http://hooks.slack.com/", Refusal::Scheme("http".into())),
        ("ftp://hooks.slack.com/", Refusal::Scheme("ftp".into())),
        ("file:///etc/passwd", Refusal::Scheme("file".into())),
        ("gopher://hooks.slack.com:70/_", Refusal::Scheme("gopher".into())),
        ("https://user@hooks.slack.com/", Refusal::User),
        ("https://user:word@hooks.slack.com/", Refusal::User),
        ("https://@hooks.slack.com/", Refusal::User),
        ("https://:@hooks.slack.com/", Refusal::User),
        ("https://evil.example@hooks.slack.com/", Refusal::User),
        ("https:\\\\hooks.slack.com/", Refusal::Characters),
        ("https://evil.example\\@hooks.slack.com/", Refusal::Characters),
        ("https://hooks.slack.com/\r\nHost: evil", Refusal::Characters),
        (" https://hooks.slack.com/", Refusal::Characters),
        ("https://hooks.sla\tck.com/", Refusal::Characters),
        ("https://hooks.slack.com/\0", Refusal::Characters),
        ("hooks.slack.com/services", Refusal::Url),
        ("//hooks.slack.com/", Refusal::Url),
        ("https://", Refusal::Url),
        ("https://hooks.slack.com:99999/", Refusal::Url),
        ("https://hooks.slack.com../", Refusal::Url),
        ("https://[::1/", Refusal::Url),
        ("", Refusal::Url),
        ("https:hooks.slack.com/", Refusal::Url),
        ("https:///hooks.slack.com/", Refusal::Url),
        ("https:////@hooks.slack.com/", Refusal::Url),
    ] {
        assert_eq!(checked(address, &[host]), Err(refusal), "{address:?}");
    }
}

#[test]
fn a_private_host_is_refused_in_each_spelling() {
    for address in [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.01/",
        "https://017700000001/",
        "https://１２７.0.0.1/",
        "https://127.0.0.1./",
        "https://0/",
        "https://0.0.0.0/",
        "https://169.254.169.254/latest/meta-data/",
        "https://2852039166/",
        "https://0xa9fea9fe/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[::127.0.0.1]/",
        "https://[64:ff9b::10.0.0.1]/",
        "https://[fd00:ec2::254]/",
        "https://[fe80::1]/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
    ] {
        // Even a list that names it does not open a private network.
        let Ok(url) = Url::parse(address) else { panic!("{address} is a URL") };
        let host = url.host_str().unwrap_or_default();
        let refusal = checked(address, &[host]);
        assert!(matches!(refusal, Err(Refusal::Private(_))), "{address}: {refusal:?}");
        let hosts = [host.to_owned()];
        let open = Policy { hosts: &hosts, allows_http: false, allows_private: true };
        assert!(check(address, open).is_ok(), "{address}");
    }
    let hosts = ["127.0.0.1".to_owned()];
    let test = Policy { hosts: &hosts, allows_http: true, allows_private: true };
    assert_eq!(check("http://127.0.0.1:8080/a", test).map(|target| target.port), Ok(8_080));
}

#[test]
fn a_refusal_does_not_show_the_path() {
    for address in ["https://a.example/secret", "http://a.example/secret", "https://u@a/secret"] {
        let refusal = checked(address, &["b.example"]).expect_err("not allowed");
        assert!(!format!("{refusal} {refusal:?}").contains("secret"), "{refusal:?}");
    }
}

#[test]
fn each_reserved_network_is_refused_at_both_ends() {
    for (first, last) in [
        ("0.0.0.0", "0.255.255.255"),
        ("10.0.0.0", "10.255.255.255"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("169.254.0.0", "169.254.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.0.0.0", "192.0.0.255"),
        ("192.0.2.0", "192.0.2.255"),
        ("192.88.99.0", "192.88.99.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("198.18.0.0", "198.19.255.255"),
        ("198.51.100.0", "198.51.100.255"),
        ("203.0.113.0", "203.0.113.255"),
        ("224.0.0.0", "255.255.255.255"),
        ("168.63.129.16", "168.63.129.16"),
    ] {
        let number = |text: &str| u32::from(text.parse::<Ipv4Addr>().expect(text));
        let public = |number: u32| is_public(IpAddr::V4(Ipv4Addr::from(number)));
        assert!(!public(number(first)) && !public(number(last)), "{first}");
        assert!(number(first).checked_sub(1).is_none_or(public), "{first} begins there");
        assert!(number(last).checked_add(1).is_none_or(public), "{last} ends there");
    }
    for text in [
        "::",
        "::1",
        "::8.8.8.8",
        "::ffff:10.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:7f00:1::",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "2606:4700::5efe:127.0.0.1",
        "2606:4700::200:5efe:127.0.0.1",
    ] {
        assert!(!is_public(text.parse().expect(text)), "{text}");
    }
    for text in [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.0.1",
        "172.32.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00:1450::1",
        "2620:fe::fe",
    ] {
        assert!(is_public(text.parse().expect(text)), "{text}");
    }
}

proptest! {
    /// Any text is refused, or its normal form has the allowed host for another parser too.
    #[test]
    fn no_text_reaches_another_host(
        text in "https?:/{0,3}[a-z@.:%\\\\#?/\\[\\]0-9]{0,30}|.{0,40}",
    ) {
        if let Ok(target) = checked(&text, &["a.b", "a", "b"]) {
            let again = Url::parse(target.url.as_str()).expect("a URL");
            prop_assert_eq!(again.scheme(), "https");
            prop_assert_eq!(again.host_str(), Some(target.host.as_str()));
            prop_assert!(["a.b", "a", "b"].contains(&target.host.as_str()));
        }
    }

    /// The mapped form of an address is as public as the address.
    #[test]
    fn forms_of_an_address_agree(number in any::<u32>()) {
        let v4 = Ipv4Addr::from(number);
        let public = is_public(IpAddr::V4(v4));
        prop_assert_eq!(is_public(IpAddr::V6(v4.to_ipv6_mapped())), public);
        let [high, low] = [(number >> 16) as u16, number as u16];
        let translated = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
        prop_assert_eq!(is_public(IpAddr::V6(translated)), public);
        prop_assert!(!is_public(IpAddr::V6(v4.to_ipv6_compatible())));
    }
}
