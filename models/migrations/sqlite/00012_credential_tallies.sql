-- +goose Up
-- How the sends through each credential ended, by the hour of the vendor's answer.
-- slot is as in counters. Upkeep removes rows of a few days ago.
CREATE TABLE credential_tallies (
    app_id        bigint NOT NULL,
    credential_id bigint NOT NULL,
    hour          bigint NOT NULL,
    slot          smallint NOT NULL,
    accepted      bigint NOT NULL,
    failed        bigint NOT NULL,
    PRIMARY KEY (app_id, credential_id, hour, slot)
) WITHOUT ROWID;
