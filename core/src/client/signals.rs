// SPDX-License-Identifier: Apache-2.0
//! What a host must not be killed by.

/// A socket that is closed while this thread writes to it gives an error, and no signal that would end the process. The host's own
/// threads and handlers are left as they are.
pub(super) fn block_pipe() {
    #[cfg(unix)]
    {
        use nix::sys::signal::{SigSet, Signal};

        let mut pipe = SigSet::empty();
        pipe.add(Signal::SIGPIPE);
        pipe.thread_block().expect("SIGPIPE is a signal that can be blocked");
    }
}
