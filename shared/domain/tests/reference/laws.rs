//! Laws.
use crate::worlds::plan::*;
use crate::worlds::*;
use crate::worlds::account::World;
use domain::job::TerminalStatus;
use domain::entity::*;

#[test]
fn debug() {
    let plan = Plan { begins_at: "2024-06-03T08:00:00Z".parse().unwrap(), supersede: [false;2], api_apart: false, resources: vec![[true,false,false]],
      policies: vec![PolicyPlan{early:true,enabled:true,selector:"true".into(),rules:vec![PolicyRule::Rollback(Rollback{on_job_statuses:vec![TerminalStatus::Failure],on_verification_failure:false})]}],
      steps: vec![] };
    let mut w = World::of(&plan);
    let t = w.targets()[0];
    let go = |w: &mut World| { let o = w.decide(&t); println!("{:?} {:?} {:?} held {:?}", o.decision.state, o.request.as_ref().map(|j|(&j.tag, j.attempt)), o.decision.summary, o.decision.held); w.keep(&t, o, Default::default()); };
    w.step(&Step::Version{deployment:0,depends:false});
    go(&mut w);
    w.step(&Step::End{job:0,status:TerminalStatus::Failure,reason:None});
    w.step(&Step::Vars{resource:0,value:0});
    go(&mut w);
    go(&mut w);
    w.step(&Step::Pass{seconds:5});
    go(&mut w);
    w.step(&Step::Vars{resource:0,value:1});
    go(&mut w);
    panic!();
}
