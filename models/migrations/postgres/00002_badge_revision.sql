-- +goose Up

-- Counts how often the phone has set its badge, so that a number which was counted up
-- before does not overwrite it.
ALTER TABLE devices ADD COLUMN badge_revision bigint NOT NULL DEFAULT 0;
