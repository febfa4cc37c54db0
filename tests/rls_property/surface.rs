//! Owner columns, privileges and exemptions of the generated tables, from the catalog.

use crate::identities::Identity;
use crate::policies::Table;
use harness::rows;
use postgres::Client;
use std::collections::{BTreeSet, HashMap};

pub struct Surface {
    owners: HashMap<String, Vec<String>>,
    /// By table and role, one letter per privilege: s, i, u and d for SELECT, INSERT, UPDATE and
    /// DELETE; o and n if UPDATE and INSERT cover the whole table.
    privileges: HashMap<(String, String), String>,
    /// Tables and roles to which row-level security does not apply.
    exempt: BTreeSet<(String, String)>,
}

impl Surface {
    pub fn read(client: &mut Client) -> Self {
        let mut owners: HashMap<String, Vec<String>> = HashMap::new();
        let sql = "SELECT format('%I.%I', n.nspname, c.relname), a.attname
            FROM crewsnow_ops.rls_owner_columns() AS o
            JOIN pg_class AS c ON c.oid = o.relation
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = o.attnum
            ORDER BY c.oid, a.attnum";
        for row in rows(client, sql) {
            let (table, column) = row.split_once('|').expect("two columns");
            owners.entry(table.to_owned()).or_default().push(column.to_owned());
        }
        let (mut privileges, mut exempt) = (HashMap::new(), BTreeSet::new());
        let sql = "SELECT format('%I.%I', n.nspname, c.relname), r.rolname, concat(
                CASE WHEN has_any_column_privilege(r.oid, c.oid, 'SELECT') THEN 's' END,
                CASE WHEN has_any_column_privilege(r.oid, c.oid, 'INSERT') THEN 'i' END,
                CASE WHEN has_any_column_privilege(r.oid, c.oid, 'UPDATE') THEN 'u' END,
                CASE WHEN has_table_privilege(r.oid, c.oid, 'DELETE') THEN 'd' END,
                CASE WHEN has_table_privilege(r.oid, c.oid, 'UPDATE') THEN 'o' END,
                CASE WHEN has_table_privilege(r.oid, c.oid, 'INSERT') THEN 'n' END),
                c.relrowsecurity AND pg_has_role(r.oid, c.relowner, 'USAGE')
                    AND NOT c.relforcerowsecurity
            FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            CROSS JOIN pg_roles AS r
            WHERE c.relname ~ '^t\\d+$'
                AND r.rolname IN ('anon', 'authenticated', 'staff', 'webapp')";
        for row in rows(client, sql) {
            let parts: Vec<&str> = row.split('|').collect();
            let key = (parts[0].to_owned(), parts[1].to_owned());
            if parts[3] == "t" {
                exempt.insert(key.clone());
            }
            privileges.insert(key, parts[2].to_owned());
        }
        Self { owners, privileges, exempt }
    }

    pub fn owners(&self, table: &Table) -> &[String] {
        self.owners.get(&table.name).map_or(&[], Vec::as_slice)
    }

    /// Whether row-level security does not apply to the role.
    pub fn is_exempt(&self, table: &Table, role: &str) -> bool {
        self.exempt.contains(&(table.name.clone(), role.to_owned()))
    }

    /// Whether rls_matrix must have a verdict other than NO ACCESS.
    pub fn expects(&self, table: &Table, identity: &Identity, reach: &str) -> bool {
        let key = (table.name.clone(), identity.role.to_owned());
        let may = self.privileges.get(&key).map_or("", String::as_str);
        let has_owner = !self.owners(table).is_empty();
        match reach {
            // The exemption of another role is no verdict.
            _ if self.exempt.contains(&key) => reach == "read-leak" && identity.is_client(),
            "read-leak" => may.contains('s'),
            "tampering" => may.contains('u'),
            "forged-rows" if has_owner => may.contains('n'),
            "forged-rows" => may.contains('i'),
            "destruction" => may.contains('d'),
            _ => has_owner && identity.user.is_some() && may.contains('o'),
        }
    }
}
