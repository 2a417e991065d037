//! Why a command did not do what it was asked, and the exit code that says so.

use std::process::ExitCode;

/// Sorted by what a script does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The API, or we, said no: something must be changed first.
    Refused(String),
    /// The command line does not fit.
    Usage(String),
    /// A version did not get where it should.
    RolloutFailed(String),
    /// It may still get there.
    NotYet(String),
    /// Nobody answers: the same may work later.
    Unreachable(String),
    /// What was compared is not the same.
    Differs(String),
    /// Whoever read what we print has seen enough.
    Closed,
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::RolloutFailed(_) => 3,
            Self::NotYet(_) => 4,
            Self::Unreachable(_) => 5,
            Self::Differs(_) => 6,
        }
    }

    /// Says it on stderr.
    pub(super) fn report(self) -> ExitCode {
        let code = ExitCode::from(self.code());
        match self {
            Self::Closed => {}
            Self::Refused(why)
            | Self::Usage(why)
            | Self::RolloutFailed(why)
            | Self::NotYet(why)
            | Self::Unreachable(why)
            | Self::Differs(why) => eprintln!("{why}"),
        }
        code
    }
}

#[cfg(test)]
mod tests {
    use super::super::EXIT_CODES;
    use super::*;

    #[test]
    fn the_table_of_exit_codes_has_them_all() {
        let table = include_str!("../../../../docs/cli.md").split("## Exit codes").nth(1).expect("a table");
        let told: Vec<u8> = table
            .lines()
            .skip_while(|line| !line.starts_with('|'))
            .take_while(|line| line.starts_with('|'))
            .filter_map(|line| line.split('|').nth(1)?.trim().parse().ok())
            .collect();
        let why = String::new;
        let all = [
            Failure::Closed,
            Failure::Refused(why()),
            Failure::Usage(why()),
            Failure::RolloutFailed(why()),
            Failure::NotYet(why()),
            Failure::Unreachable(why()),
            Failure::Differs(why()),
        ];
        assert_eq!(told, all.iter().map(Failure::code).collect::<Vec<_>>());
        for code in told {
            assert!(EXIT_CODES.contains(&format!("{code} ")), "--help does not tell of {code}");
        }
    }
}
