-- How do the models compare: completion, cost, length, CSAT? Grain: one row a model (provider and name).
-- The model of a session is that of its assistant, or of its first model cost. Sessions without one make a row of nulls.
-- Intervals are 95 %: where the true value plausibly is. If two rows' intervals overlap, their difference may be chance.
-- CSAT: outputs named CSAT, in upper or lower case, whose result is a number; numbers in quotes or in objects do not count.
-- Deleted and aged-out sessions count. Sessions without a price are left out of the costs.
CREATE OR REPLACE VIEW model_comparison AS
SELECT * EXCLUDE (kind, assistant, assistant_id) FROM comparisons WHERE kind = 'model';
