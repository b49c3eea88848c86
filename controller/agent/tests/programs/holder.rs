//! The holder as a process, for tests.

fn main() {
    agent::holder::main(std::env::args_os().skip(1))
}
