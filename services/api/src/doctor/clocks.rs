//! Clocks: agents write down when they looked, the bus when that was stored. A moment after it was stored is a clock that is
//! wrong.

use chrono::TimeDelta;

use super::Check;
use super::known::KnownAccount;

/// Clocks kept by NTP differ by much less.
const AHEAD_MAX: TimeDelta = TimeDelta::seconds(5);
/// A look may take a minute, so only more than this is a clock that is behind.
const BEHIND_MAX: TimeDelta = TimeDelta::seconds(120);

/// Compares agents' clocks with that of the bus; nothing where no agent has looked.
pub(super) fn check(accounts: &[KnownAccount]) -> Option<Check> {
    let ahead = accounts.iter().filter_map(|known| {
        let looked_at = known.account.looked_at?;
        Some((known.account.hook.platform.clone(), looked_at - known.stored_at))
    });
    // A failed look stores an account anew, with the moment of the last look that succeeded.
    let fresh = accounts.iter().any(|known| known.account.trouble.is_none());
    let worst = ahead.max_by_key(|(_, ahead)| ahead.abs());
    let (platform, ahead) = worst.filter(|_| fresh)?;
    let todo = "let NTP set the clocks of all machines: deadlines, soaks and order keys depend on them";
    Some(if ahead > AHEAD_MAX {
        let message =
            format!("the clock of the agent for {platform} is {} s ahead of the bus", ahead.num_seconds());
        Check::fail("clocks", message, todo)
    } else if ahead < -BEHIND_MAX {
        let message =
            format!("the clock of the agent for {platform} is {} s behind the bus", -ahead.num_seconds());
        Check::warn("clocks", message, todo)
    } else {
        Check::ok("clocks", "agents and the bus agree")
    })
}
