-- +goose Up
-- The IM app's own SecretKey at its IM server, sealed, for protocols whose callers sign
-- with it (Tencent IM's UserSig); NULL when they sign with the ingest secret.
ALTER TABLE im_apps ADD COLUMN sdk_key blob;
