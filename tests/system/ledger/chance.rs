//! What is left to chance, all of it from one seed.

use misbehaviour::Dice;

/// Names the seed of a run that is to be repeated.
const SEED: &str = "CTRLPLANE_LEDGER_SEED";

/// The seed where none is asked for: what goes wrong in the gate goes wrong again.
const USUAL: u64 = 20_261_127;

/// The seed of this run, printed.
pub(crate) fn seed(of: &str) -> u64 {
    let seed = match std::env::var(SEED) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{SEED}={text}: {error}")),
        Err(_) => USUAL,
    };
    println!("{of}: {SEED}={seed} plays this again");
    seed
}

/// What is done to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// One replica of the agent is killed, and started again.
    Kill { replica: usize },
    /// The platform begins to misbehave once more.
    Misbehave,
}

/// When what is done: by how many steps the jobs have made together. A job makes two, its start and its end; nothing is
/// left to do when all but the last few are over.
pub(crate) fn deeds(dice: &mut Dice, jobs: usize, kills: usize, faults: usize) -> Vec<(usize, Deed)> {
    let last = jobs * 2 * 9 / 10;
    let mut deeds: Vec<(usize, Deed)> = Vec::new();
    for _ in 0..kills {
        let replica = dice.below(2);
        deeds.push((1 + dice.below(last), Deed::Kill { replica }));
    }
    for _ in 0..faults {
        deeds.push((dice.below(last), Deed::Misbehave));
    }
    deeds.sort_by_key(|(after, _)| *after);
    deeds
}

#[test]
fn the_same_seed_does_the_same() {
    let of = |seed| deeds(&mut Dice::new(seed), 100, 4, 20);
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
    assert_eq!(of(7).iter().filter(|(_, deed)| *deed != Deed::Misbehave).count(), 4);
}
