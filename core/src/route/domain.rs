// SPDX-License-Identifier: Apache-2.0
//! Domains of virtual hosts: exact, `*.suffix`, `prefix.*`, `*` (gRFC A27, Envoy).

use crate::model::{RouteTable, VirtualHost};

/// How well a domain fits: the kind first, then its length. A later one fits better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Any,
    Prefix(usize),
    Suffix(usize),
    Exact(usize),
}

/// The virtual host with the domain that fits an authority (`host:port` or `host`) best, with its port or without, in any case; of
/// equals the first.
pub fn virtual_host<'a>(table: &'a RouteTable, authority: &str) -> Option<&'a VirtualHost> {
    let authority = authority.to_ascii_lowercase();
    let host = without_port(&authority);
    let best = |virtual_host: &VirtualHost| {
        virtual_host.domains.iter().filter_map(|domain| fit(domain, &authority).max(fit(domain, host))).max()
    };
    let fitting = table.hosts.iter().filter_map(|virtual_host| Some((best(virtual_host)?, virtual_host)));
    // The last of equals is taken.
    fitting.rev().max_by_key(|(fit, _)| *fit).map(|(_, found)| found)
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// A star stands for one character at least.
fn fit(domain: &str, name: &str) -> Option<Fit> {
    let longer = name.len() >= domain.len();
    if domain == "*" {
        Some(Fit::Any)
    } else if let Some(suffix) = domain.strip_prefix('*') {
        (longer && name.ends_with(suffix)).then_some(Fit::Suffix(suffix.len()))
    } else if let Some(prefix) = domain.strip_suffix('*') {
        (longer && name.starts_with(prefix)).then_some(Fit::Prefix(prefix.len()))
    } else {
        (domain == name).then_some(Fit::Exact(domain.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen<'a>(hosts: &[&[&'a str]], authority: &str) -> Option<&'a str> {
        let of = |domains: &&[&str]| VirtualHost {
            domains: domains.iter().map(|domain| (*domain).into()).collect(),
            ..Default::default()
        };
        let table = RouteTable { hosts: hosts.iter().map(of).collect() };
        let found = virtual_host(&table, authority)?;
        let at = table.hosts.iter().position(|virtual_host| std::ptr::eq(virtual_host, found)).expect("one of the table");
        Some(hosts[at][0])
    }

    #[test]
    fn the_virtual_host_whose_domain_fits_best_is_taken_wherever_it_stands() {
        let all: &[&[&str]] =
            &[&["*"], &["web.*"], &["web.shop.*"], &["*.shop"], &["*.eu.shop"], &["web.eu.shop"], &["other.eu.shop"]];
        assert_eq!(chosen(all, "web.eu.shop:80"), Some("web.eu.shop"), "exact");
        assert_eq!(chosen(all, "api.eu.shop:80"), Some("*.eu.shop"), "the longest suffix");
        assert_eq!(chosen(all, "web.us.shop:80"), Some("*.shop"), "a suffix before any prefix");
        assert_eq!(chosen(all, "web.shop.local:80"), Some("web.shop.*"), "the longest prefix");
        assert_eq!(chosen(all, "web.local:80"), Some("web.*"));
        assert_eq!(chosen(all, "mail.local/path"), Some("*"));
        assert_eq!(chosen(&all[1..], "mail.local:80"), None, "nobody's");
    }

    #[test]
    fn a_domain_may_name_the_port_and_then_counts_for_it_only() {
        let all: &[&[&str]] = &[&["web:81"], &["web"], &["web:80"], &["*.shop:80"]];
        assert_eq!(chosen(all, "web:80"), Some("web:80"));
        assert_eq!(chosen(all, "web:82"), Some("web"));
        assert_eq!(chosen(&all[..1], "web:80"), None);
        assert_eq!(chosen(all, "web.shop:80"), Some("*.shop:80"));
        assert_eq!(chosen(all, "web.shop:81"), None);
    }

    #[test]
    fn capitals_do_not_count_a_star_is_never_empty_and_the_first_of_equals_wins() {
        assert_eq!(chosen(&[&["web.shop"]], "WEB.Shop"), Some("web.shop"));
        assert_eq!(chosen(&[&["*.shop"]], ".shop:80"), None);
        assert_eq!(chosen(&[&["[2001:db8::1]:80"]], "[2001:DB8::1]:80"), Some("[2001:db8::1]:80"));
        assert_eq!(chosen(&[&["first", "web"], &["second", "web"]], "web:80"), Some("first"));
    }
}
