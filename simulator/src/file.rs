//! A world as a file describes it. `simulator/README.md` says what can stand there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::ACME_KEY;
use crate::world::{Anonymous, Effect, Fault, Selection, World};

/// Why a file describes no world.
#[derive(Debug)]
pub struct Invalid(String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    hosts: Option<Vec<String>>,
    tokens: Option<Form>,
    token_lifetime: Option<i64>,
    rate_limit: Option<u32>,
    clock_offset: Option<i64>,
    anonymous: Option<Anonymous>,
    propagation: Option<Propagation>,
    #[serde(default)]
    app: Vec<App>,
    #[serde(default)]
    installation: Vec<Installation>,
    #[serde(default)]
    repository: Vec<Repository>,
    #[serde(default)]
    fault: Vec<FileFault>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Form {
    Long,
    Short,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Propagation {
    times: u32,
    status: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct App {
    id: u64,
    client_id: String,
    slug: String,
    owner: Option<String>,
    private_keys: Option<Vec<String>>,
    unready: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Installation {
    id: u64,
    app: String,
    account: String,
    repositories: Option<Vec<String>>,
    permissions: Option<BTreeMap<String, String>>,
    #[serde(default)]
    suspended: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Repository {
    name: String,
    #[serde(default)]
    public: bool,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    submodules: BTreeMap<String, String>,
    #[serde(default)]
    former_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileFault {
    endpoint: String,
    #[serde(default = "once")]
    times: u32,
    effect: FileEffect,
}

fn once() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FileEffect {
    Answer(FileAnswer),
    Delay(u64),
    Trickle(u64),
    Hang,
    Drop,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAnswer {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

impl World {
    /// Adds what a file describes. Names of keys in it are below `folder`. An App without keys gets the
    /// simulator's own, [`ACME_KEY`].
    ///
    /// # Errors
    /// If that is no TOML, or a setting is unknown, or something is named that is not there.
    pub fn describe(&mut self, toml: &str, folder: &Path) -> Result<(), Invalid> {
        let file: File = toml::from_str(toml).map_err(|error| Invalid(error.to_string()))?;
        self.hosts = file.hosts.unwrap_or_default();
        self.long_tokens = file.tokens != Some(Form::Short);
        self.token_lifetime = file.token_lifetime.unwrap_or(self.token_lifetime);
        self.rate_limit = file.rate_limit.unwrap_or(self.rate_limit);
        self.clock_offset = file.clock_offset.unwrap_or(self.clock_offset);
        self.anonymous = file.anonymous.unwrap_or(self.anonymous);
        self.propagation = file.propagation.map(|it| (it.times, it.status));
        for app in file.app {
            self.describe_app(app, folder)?;
        }
        let mut commits = BTreeMap::new();
        for repository in file.repository {
            self.describe_repository(repository, &mut commits)?;
        }
        for installation in file.installation {
            self.describe_installation(installation)?;
        }
        for fault in file.fault {
            self.faults.push(Fault {
                endpoint: fault.endpoint.parse().map_err(|error| Invalid(format!("{error}")))?,
                times: fault.times,
                effect: match fault.effect {
                    FileEffect::Answer(answer) => Effect::Answer(
                        answer.status,
                        answer.headers.into_iter().collect(),
                        answer.body.into_bytes(),
                    ),
                    FileEffect::Delay(milliseconds) => Effect::Delay(milliseconds),
                    FileEffect::Trickle(milliseconds) => Effect::Trickle(milliseconds),
                    FileEffect::Hang => Effect::Hang,
                    FileEffect::Drop => Effect::Drop,
                },
            });
        }
        Ok(())
    }

    fn describe_app(&mut self, app: App, folder: &Path) -> Result<(), Invalid> {
        let keys = match app.private_keys {
            None => vec![ACME_KEY.to_owned()],
            Some(files) => files
                .iter()
                .map(|file| {
                    let path = folder.join(file);
                    let key = std::fs::read_to_string(&path).map_err(|error| error.to_string());
                    key.and_then(|pem| crate::jwt::public_key(&pem).map(|_| pem))
                        .map_err(|why| Invalid(format!("App {}: {}: {why}", app.slug, path.display())))
                })
                .collect::<Result<_, _>>()?,
        };
        self.register(app.id, &app.client_id, &app.slug, app.owner.as_deref());
        for key in keys {
            self.add_key(app.id, &key);
        }
        self.app(app.id).unready = app.unready.unwrap_or(0);
        Ok(())
    }

    /// Makes a repository. `commits` are the commits of those before, which may be submodules of this one.
    fn describe_repository(
        &mut self,
        repository: Repository,
        commits: &mut BTreeMap<String, String>,
    ) -> Result<(), Invalid> {
        let (owner, name) = owner_and_name(&repository.name)?;
        let mut files: Vec<(String, String)> = repository.files.into_iter().collect();
        let mut modules = String::new();
        for (path, of) in &repository.submodules {
            let commit = commits.get(of).ok_or_else(|| {
                Invalid(format!("{}: submodule {of} is not a repository further above", repository.name))
            })?;
            files.push((path.clone(), format!("commit {commit}")));
            modules += &format!("[submodule \"{path}\"]\n\tpath = {path}\n\turl = ../../{of}.git\n");
        }
        if !modules.is_empty() {
            files.push((".gitmodules".to_owned(), modules));
        }
        if let Some((file, _)) = files.iter().find(|(file, _)| file.is_empty() || file.contains(['/', '\n']))
        {
            return Err(Invalid(format!("{}: {file:?} is not a file in its root", repository.name)));
        }
        let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let commit = self.add_repository(owner, name, &files);
        if let Some(made) = self.repositories.last_mut() {
            made.private = !repository.public;
            let id = made.id;
            let former = repository.former_names.iter().map(|name| (name.to_ascii_lowercase(), id));
            self.old_names.extend(former);
        }
        commits.insert(repository.name, commit);
        Ok(())
    }

    fn describe_installation(&mut self, installation: Installation) -> Result<(), Invalid> {
        let Installation { id, app, account, repositories, permissions, suspended } = installation;
        let slug = app;
        let app = self.apps.iter().find(|it| it.slug == slug).map(|it| it.id);
        let app = app.ok_or_else(|| Invalid(format!("installation {id}: there is no App {slug}")))?;
        let selection = match repositories {
            None => Selection::All,
            Some(names) => {
                let number = |name: &String| {
                    let found = self.find(&account, name).map(|it| it.id);
                    found.ok_or_else(|| {
                        Invalid(format!("installation {id}: there is no repository {account}/{name}"))
                    })
                };
                Selection::Selected(names.iter().map(number).collect::<Result<_, _>>()?)
            }
        };
        self.install(id, app, &account);
        let made = self.installation(id);
        made.selection = selection;
        made.suspended = suspended;
        if let Some(permissions) = permissions {
            made.permissions = permissions;
        }
        Ok(())
    }
}

fn owner_and_name(name: &str) -> Result<(&str, &str), Invalid> {
    let parts = name.split_once('/').filter(|(owner, name)| {
        !owner.is_empty() && !name.is_empty() && !name.contains('/') && !name.ends_with(".git")
    });
    parts.ok_or_else(|| Invalid(format!("{name:?} is not OWNER/REPOSITORY")))
}

#[cfg(test)]
mod tests {
    use super::World;

    fn refusal(toml: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        World::new(folder.path()).describe(toml, folder.path()).unwrap_err().to_string()
    }

    #[test]
    fn a_mistake_in_the_file_is_named() {
        let app = "[[app]]\nid = 1\nclient-id = 'a'\nslug = 'acme-ci'\n";
        for (toml, message) in [
            ("colour = 'red'", "unknown field `colour`"),
            ("[[app]]\nid = 1\nslug = 'a'", "missing field `client-id`"),
            ("[[repository]]\nname = 'widgets'", "\"widgets\" is not OWNER/REPOSITORY"),
            ("[[installation]]\nid = 1\napp = 'x'\naccount = 'acme'", "installation 1: there is no App x"),
            (
                &format!(
                    "{app}[[installation]]\nid = 1\napp = 'acme-ci'\naccount = 'acme'\nrepositories = ['x']"
                ),
                "installation 1: there is no repository acme/x",
            ),
            ("[[repository]]\nname = 'a/b'\nsubmodules = { x = 'a/c' }", "submodule a/c is not a repository"),
            ("[[repository]]\nname = 'a/b'\nfiles = { 'x/y' = '' }", "\"x/y\" is not a file in its root"),
            ("[[fault]]\nendpoint = '/installation'\neffect = 'drop'", "is no endpoint of the simulator"),
            ("[[fault]]\nendpoint = 'GET /app'\neffect = 'explode'", "unknown variant `explode`"),
            (&format!("{app}private-keys = ['none.pem']"), "none.pem: No such file"),
        ] {
            let told = refusal(toml);
            assert!(told.contains(message), "{toml}: {told}");
        }
    }
}
