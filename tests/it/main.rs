//! The integration tests: one binary, which starts the program and asks it as its users would.
//!
//! Tests that need more than Rust run where their tools are, and are mandatory with
//! `PACKAGEORIGIN_TEST_ALL=1`.

mod daemons;
#[cfg(target_os = "linux")]
mod disk;
mod fixture;
mod generated;
mod listing;
mod machine;
mod needs;
mod packages;
mod proxy;
mod pull;
mod server;
mod systems;
mod user;

mod archives;
mod bad_input;
mod changing;
mod clients;
#[cfg(target_os = "linux")]
mod clocks;
mod coalescing;
mod collecting;
mod completing;
mod conformance;
mod contract;
mod descriptors;
mod examples;
#[cfg(target_os = "linux")]
mod failing_disks;
mod failing_pulls;
mod fresh;
mod fuzz_finds;
mod hybrids;
mod list_golden;
mod list_page;
mod list_schema;
mod list_table;
#[cfg(target_os = "linux")]
mod lost_roots;
mod matrix;
mod mirrors;
mod misses;
mod model;
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
#[cfg(target_os = "linux")]
mod untold;
mod verification;
mod verifying;
mod watching;
mod writers;
