//! The integration tests: one binary, which starts the program and asks it as its users would.
//!
//! Tests that need more than Rust run where their tools are, and are mandatory with
//! `PACKAGEORIGIN_TEST_ALL=1`.

mod daemons;
mod fixture;
mod generated;
mod listing;
mod machine;
mod needs;
mod packages;
mod proxy;
mod server;
mod systems;

mod archives;
mod bad_input;
mod clients;
mod coalescing;
mod collecting;
mod completing;
mod conformance;
mod contract;
mod examples;
mod failing_pulls;
mod fresh;
mod fuzz_finds;
mod hybrids;
mod list_golden;
mod list_page;
mod list_schema;
mod list_table;
mod matrix;
mod mirrors;
mod misses;
mod neighbors;
mod older_suites;
mod pages;
mod pasted;
mod pending;
mod properties;
mod remembering;
mod requests;
mod resuming;
mod serving;
mod suites;
mod tidy;
mod verification;
mod verifying;
mod writers;
