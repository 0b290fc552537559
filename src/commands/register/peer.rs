//! Who is at the other end of a connection within this machine, as far as the system tells.

use std::net::TcpStream;

/// Whether it is a program of another user's, root's apart. An address may be seen by others, in the arguments of the program
/// that starts the browser.
#[cfg(target_os = "linux")]
pub(super) fn is_another_users(stream: &TcpStream) -> bool {
    /// The sockets of this machine, and whose they are. (proc_pid_net(5))
    const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
    let (Ok(client), Ok(own)) = (stream.peer_addr(), stream.local_addr()) else { return true };
    let (Some(client), Some(own)) = (in_table(client), in_table(own)) else { return true };
    // One that is not listed is no socket of this system: that of a browser outside of a virtual machine, for example.
    let user = TABLES.iter().find_map(|table| user_of(&client, &own, std::fs::File::open(table).ok()?));
    user.is_some_and(|user| ![0, rustix::process::geteuid().as_raw()].contains(&user))
}

/// Nothing tells it.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_another_users(_: &TcpStream) -> bool {
    false
}

/// An address as the tables show it. That of IPv6 shows an IPv4 address with more before it.
#[cfg(target_os = "linux")]
fn in_table(address: std::net::SocketAddr) -> Option<String> {
    match address {
        std::net::SocketAddr::V4(it) => {
            Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(it.ip().octets()), it.port()))
        }
        std::net::SocketAddr::V6(_) => None,
    }
}

/// Whose socket it is that leads from one address to another.
#[cfg(target_os = "linux")]
fn user_of(from: &str, to: &str, table: std::fs::File) -> Option<u32> {
    use std::io::BufRead as _;
    std::io::BufReader::new(table).lines().map_while(Result::ok).find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let is_it = words.next()?.ends_with(from) && words.next()?.ends_with(to);
        // Before the user stand the state, the queues, the timer and the retransmissions.
        words.nth(4).filter(|_| is_it)?.parse().ok()
    })
}
