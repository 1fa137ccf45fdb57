-- Which values identify the same customer? Grain: one row an identity: a value by which customers are known.
-- Two identities belong to the same customer if a session carries both, or if a chain of sessions leads from one to the other.
-- Shared identities join nobody: those that occur together with more than 5 identities of one kind, as the number of a call
-- centre does with many external ids. A person with an id, a number, an e-mail address and five external ids is joined; the
-- bound stands once in this view, where shared is computed. A family of five with one number is joined, too: the source
-- does not tell it from a person with five external ids.
-- Columns:
--   identity: The value, as kind:value. session_facts.identities says how values are written the same way.
--   kind: id (saved customer), external_id, number, email or sip_uri.
--   customer_key: The customer: the first of its identities, in this order of kinds, then of values. It changes only if an
--     earlier identity is joined. A shared identity is a customer of its own, of the sessions that have no other identity.
--   session_count: Sessions that carry the identity.
--   linked_identity_count: How many identities of one kind occur in sessions together with this one; of the kind with the most.
--   shared: Whether that is more than 5, so that the identity is not used to join.
CREATE OR REPLACE VIEW customer_identities AS
WITH RECURSIVE
known_as AS MATERIALIZED (
    SELECT
        identities,
        LEN(identities) AS identity_count,
        COUNT(*) AS session_count,
        -- in an order: a stored view loses MATERIALIZED, and older versions of DuckDB then number these rows several times
        ROW_NUMBER() OVER (ORDER BY identities) AS combination
    FROM session_facts
    GROUP BY identities
),
named AS MATERIALIZED (
    SELECT combination, UNNEST(identities) AS identity, identity_count, session_count
    FROM known_as
),
numbered AS MATERIALIZED (
    SELECT
        identity,
        SPLIT_PART(identity, ':', 1) AS kind,
        LIST_POSITION(['id', 'external_id', 'number', 'email', 'sip_uri'], kind) AS kind_order,
        ROW_NUMBER() OVER (ORDER BY kind_order, identity) AS node,
        CAST(SUM(session_count) AS BIGINT) AS session_count
    FROM named
    GROUP BY identity
),
members AS MATERIALIZED (
    SELECT c.combination, i.node, i.kind_order
    FROM named AS c
    JOIN numbered AS i ON i.identity = c.identity
    WHERE c.identity_count > 1
),
pairs AS MATERIALIZED (
    SELECT DISTINCT a.node AS a, b.node AS b, b.kind_order AS b_kind
    FROM members AS a
    JOIN members AS b ON b.combination = a.combination AND b.node <> a.node
),
linked AS MATERIALIZED (
    SELECT
        node,
        MAX(linked_identity_count) AS linked_identity_count,
        MAX(linked_identity_count) > 5 AS shared  -- the bound
    FROM (SELECT a AS node, COUNT(*) AS linked_identity_count FROM pairs GROUP BY a, b_kind)
    GROUP BY node
),
edges AS MATERIALIZED (
    SELECT p.a, p.b
    FROM pairs AS p
    JOIN linked AS l ON l.node = p.a AND NOT l.shared
    JOIN linked AS m ON m.node = p.b AND NOT m.shared
),
-- Each node gets the label of its smallest neighbour, and then that label's label, which doubles the reach with each round.
-- Of a customer with n identities the rounds are about LOG2(n) + 2. Those whose labels all agree take no part in the next.
labels AS (
    SELECT a AS node, LEAST(a, MIN(b)) AS label
    FROM edges
    GROUP BY a
    UNION ALL
    (
        WITH
        jumped AS MATERIALIZED (
            SELECT l.node, l.label, n.label AS next_label
            FROM labels AS l
            JOIN labels AS n ON n.node = l.label
        ),
        around AS (
            SELECT
                e.a AS node,
                MIN(j.next_label) AS lowest,
                MIN(j.label) AS smallest_label,
                MAX(j.label) AS greatest_label
            FROM edges AS e
            JOIN jumped AS j ON j.node = e.b
            GROUP BY e.a
        ),
        moving AS MATERIALIZED (
            SELECT j.node, j.label, j.next_label, n.lowest
            FROM jumped AS j
            JOIN around AS n ON n.node = j.node
            QUALIFY
                BOOL_OR(j.label <> j.next_label OR j.label <> n.smallest_label OR j.label <> n.greatest_label)
                    OVER (PARTITION BY j.label)
        )
        SELECT node, MIN(label) AS label
        FROM (
            SELECT node, LEAST(next_label, lowest) AS label FROM moving
            UNION ALL
            SELECT label, lowest FROM moving
        )
        GROUP BY node
    )
),
components AS (
    SELECT node, MIN(label) AS label
    FROM labels
    GROUP BY node
)
SELECT
    n.identity,
    n.kind,
    COALESCE(k.identity, n.identity) AS customer_key,
    n.session_count,
    COALESCE(l.linked_identity_count, 0) AS linked_identity_count,
    COALESCE(l.shared, FALSE) AS shared
FROM numbered AS n
LEFT JOIN linked AS l ON l.node = n.node
LEFT JOIN components AS c ON c.node = n.node
LEFT JOIN numbered AS k ON k.node = c.label;
