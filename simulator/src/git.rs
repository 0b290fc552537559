//! git over HTTPS through `git http-backend`, and the LFS API.

use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::manifest;
use crate::server::{Answer, Asked};
use crate::vendor;
use crate::world::{Anonymous, Repository, World};

/// What is to be done for a request.
pub(crate) enum Step {
    /// This is the answer.
    Answer(Answer),
    /// git answers, from this repository (`PATH_INFO`).
    Backend(String),
}

/// A credential, as far as it is valid.
enum Credential {
    None,
    Invalid,
    /// The index of the token.
    Token(usize),
}

/// Decides about a request that is not for the REST API.
pub(crate) fn decide(world: &mut World, asked: &Asked) -> Step {
    if let Some(answer) = manifest::page(world, asked) {
        return Step::Answer(answer);
    }
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let path = path.trim_matches('/');
    if let Some(oid) = path.strip_prefix("_lfs/") {
        return Step::Answer(lfs_object(world, asked, oid));
    }
    let parts: Vec<&str> = path.splitn(3, '/').collect();
    let [owner, name, rest] = parts.as_slice() else { return Step::Answer(plain(404, "Not Found")) };
    let name = name.strip_suffix(".git").unwrap_or(name);
    let name = name.strip_suffix(".wiki").unwrap_or(name);
    let writes = query.contains("service=git-receive-pack") || *rest == "git-receive-pack";
    // git keeps using an old name: the servers find the repository behind it without a redirect.
    let repository = world.find(owner, name).or_else(|| world.find_by_old_name(owner, name)).cloned();
    let credential = credential(world, asked);
    let permission = match permission(world, &credential, repository.as_ref(), writes) {
        Ok(permission) => permission,
        Err(answer) => return Step::Answer(answer),
    };
    let Some(repository) = repository else { return Step::Answer(plain(404, "Repository not found.")) };
    match *rest {
        "git-upload-pack"
            if matches!(credential, Credential::None) && world.anonymous == Anonymous::Limited =>
        {
            Step::Answer(limited())
        }
        "info/refs" | "git-upload-pack" | "git-receive-pack" => {
            Step::Backend(format!("/{}.git/{rest}", repository.id))
        }
        "info/lfs/objects/batch" => Step::Answer(lfs_batch(world, asked, permission.as_deref())),
        "info/lfs/locks/verify" if permission.as_deref() == Some("write") => {
            Step::Answer(lfs_json(200, &json!({"ours": [], "theirs": []})))
        }
        "info/lfs/locks/verify" => {
            Step::Answer(lfs_json(403, &json!({"message": "Resource not accessible by integration"})))
        }
        _ => Step::Answer(plain(404, "Not Found")),
    }
}

fn credential(world: &mut World, asked: &Asked) -> Credential {
    let Some(header) = asked.header("authorization") else { return Credential::None };
    // In any case: actions/checkout writes it in lower case. (RFC 9110, section 11.1)
    let basic = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let decoded = basic.and_then(|(_, text)| STANDARD.decode(text).ok());
    let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let (host, its) = vendor::USERNAME;
    let username = if asked.host == host { its } else { "x-access-token" };
    let password = pair.strip_prefix(username).and_then(|rest| rest.strip_prefix(':'));
    let Some(password) = password else { return Credential::Invalid };
    let now = world.now();
    let live = world.tokens.iter().position(|it| it.text == password && !it.revoked && it.expires_at > now);
    live.map_or(Credential::Invalid, Credential::Token)
}

/// The permission on contents that the credential gives for the repository, or the refusal.
fn permission(
    world: &mut World,
    credential: &Credential,
    repository: Option<&Repository>,
    writes: bool,
) -> Result<Option<String>, Answer> {
    let invalid = "Invalid username or token. Password authentication is not supported for Git operations.";
    let unauthorized = |text: &str| Err(plain(401, text).with("WWW-Authenticate", "Basic realm=\"GitHub\""));
    let is_public = repository.is_some_and(|it| !it.private);
    let token = match credential {
        Credential::None if is_public && !writes && world.anonymous != Anonymous::Unauthorized => {
            return Ok(None);
        }
        Credential::None => return unauthorized("No anonymous access."),
        Credential::Invalid => return unauthorized(invalid),
        Credential::Token(index) => &mut world.tokens[*index],
    };
    if let Some((times, status)) = token.unknown.filter(|(times, _)| *times > 0) {
        token.unknown = Some((times - 1, status));
        return match status {
            401 => unauthorized(invalid),
            _ => Err(plain(status, "Repository not found.")),
        };
    }
    let token = token.clone();
    let installation = world.installations.iter().find(|it| it.id == token.installation);
    let covered = |repository: &&Repository| {
        installation.is_some_and(|it| !it.suspended && it.covers(repository))
            && token.repositories.as_ref().is_none_or(|ids| ids.contains(&repository.id))
    };
    if repository.filter(covered).is_none() {
        return match repository {
            Some(_)
                if is_public
                    && !writes
                    && world.public_needs_contents
                    && !token.permissions.contains_key("contents") =>
            {
                Err(plain(403, "Write access to repository not granted."))
            }
            // What everybody may read, every token may read.
            Some(_) if is_public && !writes => Ok(Some("read".to_owned())),
            Some(it) if is_public => {
                Err(plain(403, &format!("Permission to {}/{}.git denied to BOT.", it.owner, it.name)))
            }
            _ => Err(plain(404, "Repository not found.")),
        };
    }
    match token.permissions.get("contents").map(String::as_str) {
        Some("write") => Ok(Some("write".to_owned())),
        Some(_) if !writes => Ok(Some("read".to_owned())),
        _ => Err(plain(403, "Write access to repository not granted.")),
    }
}

/// An error within git's protocol, for who has no credential.
fn limited() -> Answer {
    let why = "GitHub is temporarily limiting some unauthenticated downloads to protect the stability of the platform. \
               Please retry later or authenticate.";
    let line = format!("ERR {why}");
    let packet = format!("{:04x}{line}", line.len() + 4);
    Answer::new(200, "application/x-git-upload-pack-result", packet.into_bytes())
        .with("X-GitHub-Edge-Message", why)
}

fn lfs_batch(world: &World, asked: &Asked, permission: Option<&str>) -> Answer {
    let Ok(batch) = serde_json::from_slice::<Value>(&asked.body) else {
        return lfs_json(400, &json!({"message": "Problems parsing JSON"}));
    };
    let upload = batch["operation"] == "upload";
    if upload && permission != Some("write") {
        return lfs_json(403, &json!({"message": "Resource not accessible by integration"}));
    }
    let objects = batch["objects"].as_array().into_iter().flatten().map(|object| {
        let oid = object["oid"].as_str().unwrap_or_default();
        let stored = world.lfs_objects.contains_key(oid);
        let action = json!({"href": format!("https://{}/_lfs/{oid}", asked.host), "header": {"X-Lfs-Ticket": oid}, "expires_in": 3600});
        let mut answer = json!({"oid": oid, "size": object["size"], "authenticated": true});
        match (upload, stored) {
            (true, false) => answer["actions"] = json!({"upload": action}),
            (true, true) => {}
            (false, true) => answer["actions"] = json!({"download": action}),
            (false, false) => answer["error"] = json!({"code": 404, "message": "Object does not exist on the server"}),
        }
        answer
    });
    lfs_json(200, &json!({"transfer": "basic", "objects": objects.collect::<Vec<_>>()}))
}

/// The object store, which takes tickets of the batch API and no tokens.
fn lfs_object(world: &mut World, asked: &Asked, oid: &str) -> Answer {
    if asked.header("x-lfs-ticket") != Some(oid) {
        return plain(403, "Forbidden");
    }
    match asked.method.as_str() {
        "PUT" => {
            let actual: String =
                digest(&SHA256, &asked.body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            if actual != oid {
                return plain(422, "The content is not the object's");
            }
            world.lfs_objects.insert(actual, asked.body.clone());
            plain(200, "")
        }
        "GET" => match world.lfs_objects.get(oid) {
            Some(content) => Answer::new(200, "application/octet-stream", content.clone()),
            None => plain(404, "Not Found"),
        },
        _ => plain(405, "Method Not Allowed"),
    }
}

fn lfs_json(status: u16, value: &Value) -> Answer {
    Answer::new(status, "application/vnd.git-lfs+json", value.to_string().into_bytes())
}

fn plain(status: u16, text: &str) -> Answer {
    Answer::new(status, "text/plain", text.as_bytes().to_vec())
}

/// Lets `git http-backend` answer. <https://git-scm.com/docs/git-http-backend>
pub(crate) async fn backend(folder: &Path, path_info: &str, asked: &Asked) -> std::io::Result<Answer> {
    let query = asked.path.split_once('?').map_or("", |(_, query)| query);
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env_clear()
        .env("PATH", inherited_path())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", folder.join("no-such-file"))
        .env("GIT_PROJECT_ROOT", folder.join("repositories"))
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "x-access-token")
        .env("REQUEST_METHOD", &asked.method)
        .env("PATH_INFO", path_info)
        .env("QUERY_STRING", query)
        .env("CONTENT_LENGTH", asked.body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let headers = [
        ("content-type", "CONTENT_TYPE"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
    ];
    for (header, variable) in headers {
        if let Some(value) = asked.header(header) {
            command.env(variable, value);
        }
    }
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
    let body = asked.body.clone();
    let writing = tokio::spawn(async move { stdin.write_all(&body).await });
    let output = child.wait_with_output().await?.stdout;
    // git may answer before it has read everything.
    let _ = writing.await;
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let (length, headers) = match httparse::parse_headers(&output, &mut headers) {
        Ok(httparse::Status::Complete(parsed)) => parsed,
        _ => return Ok(plain(500, "git http-backend failed")),
    };
    let mut answer = Answer { status: 200, headers: Vec::new(), body: output[length..].to_vec() };
    for header in headers {
        let value = String::from_utf8_lossy(header.value).into_owned();
        if header.name.eq_ignore_ascii_case("status") {
            answer.status = value.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(500);
        } else {
            answer.headers.push((header.name.to_owned(), value));
        }
    }
    Ok(answer)
}

#[expect(clippy::disallowed_methods, reason = "git must be found where this process finds it")]
fn inherited_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}
