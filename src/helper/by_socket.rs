//! The operations where the key is elsewhere: whoever serves at the socket is asked, and no configuration is read.

use std::ffi::OsStr;
use std::io::Write;

use super::Operation;
use super::protocol::{Answer, Request};
use crate::error::Result;
use crate::secret::Secret;
use crate::socket::{self, Message};
use crate::time::Timestamp;
use crate::token::is_token;
use crate::world::World;

/// Passes a request on, and the answer back.
///
/// # Errors
/// If there is no answer, or a refusal. git is told not to ask anybody else.
pub(super) fn run(
    operation: Operation,
    request: &Request,
    socket: &OsStr,
    world: &World<'_>,
    mut stdout: impl Write,
) -> Result<()> {
    // What is no place, or no token, is not for those on the other side.
    let password = request.password.as_ref().map(Secret::expose).filter(|it| is_token(it));
    // Which user names are theirs they know.
    let is_for_them =
        request.place(&|_, _| true).is_some() && (operation == Operation::Get || password.is_some());
    if !is_for_them {
        return Ok(());
    }
    let word = match operation {
        Operation::Get => "get",
        Operation::Store => "store",
        Operation::Erase => "erase",
        Operation::Capability => return Ok(()),
    };
    let message = request.to_message(word);
    let answer = socket::ask(socket, &message, world).and_then(|answer| match operation {
        Operation::Get if answer.word() == socket::ANSWERED => credential(&answer).map(Some),
        _ => Ok(None),
    });
    match answer {
        Ok(Some(credential)) => credential.write(stdout),
        Ok(None) => Ok(()),
        Err(error) => {
            if operation == Operation::Get {
                // Where git cannot be told any more, the exit code and the message still are.
                let _ = Answer::Quit.write(&mut stdout);
            }
            Err(error)
        }
    }
}

/// The credential in an answer.
///
/// # Errors
/// If there is none.
pub(crate) fn credential(answer: &Message) -> Result<Answer> {
    let expires_at = answer.value("password_expiry_utc").and_then(|text| text.parse().ok());
    match (answer.value("username"), answer.value("password"), expires_at) {
        (Some(username), Some(password), Some(expires_at)) => Ok(Answer::Credential {
            username: username.to_owned(),
            password: Secret::new(password.to_owned()),
            expires_at: Timestamp(expires_at),
            state: answer.value("state").filter(|it| is_token(it)).map(str::to_owned),
        }),
        _ => Err(socket::no_token()),
    }
}
