-- How do the assistants compare: completion, cost, length, CSAT? Grain: one row an assistant.
-- An assistant is an assistant id, whatever it was called; without an id, a name. Sessions without both make a row of nulls.
-- Intervals are 95 %: where the true value plausibly is. If two rows' intervals overlap, their difference may be chance.
-- CSAT: outputs named CSAT, in upper or lower case, whose result is a number; numbers in quotes or in objects do not count.
-- Deleted and aged-out sessions count. Sessions without a price are left out of the costs.
CREATE OR REPLACE VIEW assistant_comparison AS
SELECT * EXCLUDE (kind, model_provider, model_name) FROM comparisons WHERE kind = 'assistant';
