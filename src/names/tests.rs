use proptest::prelude::*;

use super::*;

#[test]
fn hosts_are_lower_cased_and_lose_only_the_default_port() {
    for (text, host) in [
        ("github.com", Some("github.com")),
        ("GitHub.COM", Some("github.com")),
        ("github.com:443", Some("github.com")),
        ("ghe.example:8443", Some("ghe.example:8443")),
        ("127.0.0.1:1", Some("127.0.0.1:1")),
        ("[::1]:8443", Some("[::1]:8443")),
        ("[::1]:443", Some("[::1]")),
        ("github.com.", None),
        (".github.com", None),
        ("github..com", None),
        ("github.com:", None),
        ("github.com:0", None),
        ("github.com:65536", None),
        ("github.com:+1", None),
        ("user@github.com", None),
        ("github.com/x", None),
        ("https://github.com", None),
        ("gïthub.com", None),
        ("[::1", None),
        ("[x]:1", None),
        ("", None),
    ] {
        assert_eq!(Host::parse(text).map(|h| h.to_string()).as_deref(), host, "{text}");
    }
}

#[test]
fn each_kind_of_host_has_its_api() {
    for (host, api) in [
        ("github.com", "https://api.github.com"),
        ("acme.ghe.com", "https://api.acme.ghe.com"),
        ("ghe.com", "https://ghe.com/api/v3"),
        ("evil-ghe.com", "https://evil-ghe.com/api/v3"),
        ("github.com.example", "https://github.com.example/api/v3"),
        ("git.example:8443", "https://git.example:8443/api/v3"),
    ] {
        assert_eq!(Host::parse(host).unwrap().api().to_string(), api);
    }
}

#[test]
fn api_addresses_are_https_and_nothing_but_an_address() {
    let api = ApiUrl::parse("https://GHE.example:8443/api/v3/").unwrap();
    assert_eq!(api.endpoint("/app"), "https://ghe.example:8443/api/v3/app");
    for wrong in
        ["http://a.example", "a.example", "https://u:p@a.example", "https://a.example/?x", "https:///x", ""]
    {
        assert!(ApiUrl::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn redirects_stay_within_the_origin() {
    let api = ApiUrl::parse("https://api.github.com").unwrap();
    assert_eq!(api.same_origin("/repositories/7").unwrap(), "https://api.github.com/repositories/7");
    assert_eq!(
        api.same_origin("https://API.github.com:443/repositories/7?x=1").unwrap(),
        "https://api.github.com/repositories/7?x=1"
    );
    for elsewhere in [
        "https://api.github.com.evil.example/x",
        "https://api.github.com@evil.example/x",
        "https://api.github.com:8443/x",
        "http://api.github.com/x",
        "//evil.example/x",
        "https://api.github.com?x/repositories/7",
        "/\\evil.example/x",
        "repositories/7",
        "",
    ] {
        assert_eq!(api.same_origin(elsewhere), None, "{elsewhere}");
    }
}

#[test]
fn paths_lead_to_their_repository() {
    for path in [
        "acme/widgets",
        "acme/widgets.git",
        "Acme/Widgets.git/",
        "/acme/widgets",
        "acme/widgets.wiki.git",
        "acme/widgets.git/info/lfs",
        "acme/widgets.git/info/lfs/objects/batch",
        "acme/widgets/info/lfs",
        "acme/widgets/info/lfs/",
        "acme/widgets.wiki.git/info/lfs/locks/verify",
    ] {
        assert_eq!(Repository::from_path(path).unwrap().to_string(), "acme/widgets", "{path}");
    }
    for path in [
        "",
        "/",
        "acme",
        "acme/",
        "acme/..",
        "../widgets",
        "acme/.git",
        "a/b/c",
        "gist/0123/x.git",
        "gist/0123456789abcdef",
        "acme/wid gets",
        "acme/wid%2fgets",
        "acme//widgets",
        "acme/widgets?x",
        "äcme/widgets",
        ".git",
        "acme/widgets/info/lfsANYTHING",
        "acme/widgets/info/lfs.git",
        "acme/widgets/info",
        "acme/widgets//info/lfs",
        "acme/widgets.git/info/lfs/../../../evilapp/x",
        "acme/widgets.git/info/lfs/%2e%2e/%2E%2e/%2e%2E/evilapp/x",
        "acme/widgets.git/info/lfs/%252e%252e/x",
        "acme/widgets.git/info/lfs/.%2e/x",
        "acme/widgets.git/info/lfs/./x",
        "acme/widgets.git/info/lfs//x",
        "acme/widgets.git/info/lfs/..\\x",
        "acme/widgets.git/info/lfs/..;/x",
        "acme/widgets/evilapp/x/info/lfs",
    ] {
        assert_eq!(Repository::from_path(path), None, "{path}");
    }
}

proptest! {
    /// Made of the pieces that paths to somewhere else are made of.
    #[test]
    fn a_path_is_that_of_the_repository_that_a_server_takes_it_for(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "acme", "widgets", "evilapp", "/", "/", "/", "//", ".", "..", "/../", "/./", "%2e%2e", "%2E.", "%252e",
                "%2f", "%5c", "\\", ";", "?", "#", "%", ".git", ".wiki", "/info/lfs", "info", "lfs", "/objects/batch",
            ]),
            0..12,
        )
    ) {
        crate::fuzzing::path(pieces.concat().as_bytes());
    }
}
