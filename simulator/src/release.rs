//! Downloads of releases, which GitHub sends on to a host for files.
//!
//! <https://docs.github.com/en/repositories/releasing-projects-on-github/linking-to-releases>

use crate::server::{Answer, Asked};
use crate::world::World;

/// The host that has the files. Its addresses are signed and expire; here they only name the file.
const FILES: &str = "release-assets.githubusercontent.com";

/// The answer to a request that is about a release, and `None` to any other.
pub(crate) fn answer(world: &World, asked: &Asked) -> Option<Answer> {
    let path = asked.path.split('?').next().unwrap_or_default().trim_start_matches('/');
    let parts: Vec<&str> = path.split('/').collect();
    let answer = match (asked.host.as_str(), parts.as_slice()) {
        (FILES, _) => world
            .releases
            .get(path)
            .map(|content| Answer::new(200, "application/octet-stream", content.clone())),
        (_, [owner, name, "releases", "latest", "download", file]) => {
            world.latest.get(&format!("{owner}/{name}")).map(|tag| {
                moved(&format!("https://{}/{owner}/{name}/releases/download/{tag}/{file}", asked.host))
            })
        }
        (_, [owner, name, "releases", "download", tag, file]) => {
            let file = format!("{owner}/{name}/{tag}/{file}");
            world.releases.contains_key(&file).then(|| moved(&format!("https://{FILES}/{file}?sig=x")))
        }
        _ => return None,
    };
    Some(answer.unwrap_or_else(|| Answer::new(404, "text/plain; charset=utf-8", b"Not Found".to_vec())))
}

fn moved(to: &str) -> Answer {
    Answer::new(302, "text/html; charset=utf-8", Vec::new()).with("Location", to)
}
