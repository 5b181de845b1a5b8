// SPDX-License-Identifier: Apache-2.0
//! A network for one test, for programs whose ports are fixed.

use std::{
    io,
    net::UdpSocket,
    os::fd::AsRawFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

static SHARED: Mutex<()> = Mutex::new(());

/// Held while a test uses fixed ports.
#[derive(Debug)]
pub struct Network(#[expect(dead_code, reason = "held")] Option<MutexGuard<'static, ()>>);

impl Network {
    /// Moves this thread, and all that it starts, into a network namespace of its own, which has a loopback and nothing else.
    /// Where that is not allowed, those who ask run one at a time.
    pub fn own() -> Self {
        let alone = || Self(Some(SHARED.lock().unwrap_or_else(PoisonError::into_inner)));
        // SAFETY: only this thread changes its namespace, and no descriptor depends on it yet.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return alone();
        }
        loopback_up().expect("who may make a namespace may switch its loopback on");
        Self(None)
    }
}

/// What `ip link set lo up` does.
fn loopback_up() -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: zeroes are a valid `ifreq`: a name without letters and no flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request names an interface, ends with a zero, and lives through the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
