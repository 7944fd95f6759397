-- +goose Up
-- Until when the day's quota is used up of messages that choose a notification channel or
-- class of their own: JSON, push.Message.ClassTag → seconds since 1970; '' for none.
ALTER TABLE credentials ADD COLUMN class_rests text NOT NULL DEFAULT '';
