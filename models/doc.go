// Package models holds Hongyan's data, its rules and every query. It knows no
// HTTP, no page and no vendor: callers get plain structs and Errors with a Kind.
//
// There are two planes. The control plane (accounts, users, products, apps,
// credentials, IM apps, authorizations, plans, audit) lives in one database and
// each of its queries takes the account as an argument. The data plane (devices,
// messages, batches, deliveries, counters, tallies) lives in the database of the app's
// region, is reached through an AppScope, and is never joined with the control
// plane. By default all regions share the one database.
//
// Work for the background worker is enqueued in the transaction that writes the
// rows it speaks of.
package models
