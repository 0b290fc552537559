//! The user and the password in an address, and in what a person writes in its place: they are shown to nobody.

use ureq::http::Uri;

/// An address, or what stands in its place, as it may be shown: without user, password and query, wherever they stand.
pub(crate) fn redacted(name: &str) -> String {
    let (scheme, rest) = name.split_at(after_scheme(name));
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(user, rest)| match user {
        SSH_USER => ("git@", rest),
        _ => ("…@", rest),
    });
    match rest.split_once(['?', '#']) {
        Some((rest, _)) => format!("{scheme}{user}{rest}?…"),
        None => format!("{scheme}{user}{rest}"),
    }
}

/// The same as it may be handed on: without the user before its host, but for the one of git's short form for SSH.
pub(crate) fn without_user(name: &str) -> String {
    let (scheme, rest) = name.split_at(after_scheme(name));
    match userinfo(name) {
        Some(SSH_USER) if scheme.is_empty() => name.to_owned(),
        Some(user) => format!("{scheme}{}", &rest[user.len() + 1..]),
        None => name.to_owned(),
    }
}

/// The user whom GitHub wants over SSH, who is no secret.
const SSH_USER: &str = "git";

/// What stands before the `@` of its host, with a scheme or without.
pub(crate) fn userinfo(name: &str) -> Option<&str> {
    let authority = name[after_scheme(name)..].split(['/', '?', '#']).next()?;
    authority.rsplit_once('@').map(|(user, _)| user)
}

/// The host of an address and its port, without the user before them; empty if it has none.
pub(crate) fn host_of(uri: &Uri) -> &str {
    let authority = uri.authority().map_or("", |it| it.as_str());
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Where a name's scheme ends, if it has one.
fn after_scheme(name: &str) -> usize {
    const END: &str = "://";
    // RFC 3986, section 3.1: anything else before it is no scheme, and may be a password.
    let is_of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    match name.find(END) {
        Some(at) if name[..at].bytes().all(is_of_scheme) => at + END.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_and_handed_on_of_a_name_has_no_password() {
        for (name, shown, handed_on) in [
            ("https://x:ghp_1@github.com/a/b", "https://…@github.com/a/b", "https://github.com/a/b"),
            ("https://ghp_1@github.com", "https://…@github.com", "https://github.com"),
            ("https://a:b@c@github.com/", "https://…@github.com/", "https://github.com/"),
            ("https://github.com/a/b?token=x", "https://github.com/a/b?…", "https://github.com/a/b?token=x"),
            ("x:ghp_1@github.com/a/b", "…@github.com/a/b", "github.com/a/b"),
            ("x:ghp_1@github.com:a/b", "…@github.com:a/b", "github.com:a/b"),
            ("ghp_1@github.com/a/b", "…@github.com/a/b", "github.com/a/b"),
            ("https://x:p/w@github.com/a", "https://…@github.com/a", "https://x:p/w@github.com/a"),
            ("git@github.com:a/b", "git@github.com:a/b", "git@github.com:a/b"),
            ("ssh://git@github.com/a/b", "ssh://git@github.com/a/b", "ssh://github.com/a/b"),
            ("x:ghp_1@github.com://a/b", "…@github.com://a/b", "github.com://a/b"),
            ("a/b", "a/b", "a/b"),
            ("", "", ""),
        ] {
            assert_eq!((redacted(name).as_str(), without_user(name).as_str()), (shown, handed_on));
        }
    }
}
