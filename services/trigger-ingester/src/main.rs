//! The trigger ingester as a process of its own.

fn main() -> std::process::ExitCode {
    service::main::<trigger_ingester::TriggerIngester>()
}
