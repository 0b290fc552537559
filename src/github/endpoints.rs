//! Where the endpoints of an API are, and what every request to it says. An API of the same kind is another [`Endpoints`].

/// The paths below the API's address; `{name}` stands for a value.
pub(super) struct Endpoints {
    /// The App itself.
    pub(super) app: &'static str,
    /// The App's installations, in pages.
    pub(super) installations: &'static str,
    pub(super) installation: &'static str,
    pub(super) installation_of_repository: &'static str,
    /// For users and organisations.
    pub(super) installation_of_owner: &'static str,
    /// Mints a token.
    pub(super) access_tokens: &'static str,
    /// Revokes the token that the request is authenticated with.
    pub(super) revoke: &'static str,
    /// The repositories that a token is for, in pages.
    pub(super) repositories: &'static str,
    /// The user that an App's commits belong to.
    pub(super) bot: &'static str,
    pub(super) headers: &'static [(&'static str, &'static str)],
}

/// GitHub's. <https://docs.github.com/rest/apps/apps>
pub(super) static GITHUB: Endpoints = Endpoints {
    app: "/app",
    installations: "/app/installations",
    installation: "/app/installations/{installation}",
    installation_of_repository: "/repos/{owner}/{repository}/installation",
    installation_of_owner: "/users/{owner}/installation",
    access_tokens: "/app/installations/{installation}/access_tokens",
    revoke: "/installation/token",
    repositories: "/installation/repositories",
    bot: "/users/{slug}%5Bbot%5D",
    headers: &[("Accept", "application/vnd.github+json"), ("X-GitHub-Api-Version", "2022-11-28")],
};

/// A path with its values in place.
pub(super) fn path(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value))
}
