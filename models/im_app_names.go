package models

import (
	"slices"
	"strings"
)

// entries splits what a form's field for several entries holds.
func entries(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n,;，；、", r) })
}

// checkIMNames brings the names into one form: one a line.
func checkIMNames(text string) (string, error) {
	var out []string
	for _, name := range entries(text) {
		if len(name) > MaxIMName || storable(name) != name {
			return "", invalid("names", "errors.im_app.names_long", map[string]any{"Max": MaxIMName})
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if len(out) > MaxIMNames {
		return "", invalid("names", "errors.im_app.names_many", map[string]any{"Max": MaxIMNames})
	}
	return strings.Join(out, "\n"), nil
}

// setIMAppNames makes the IM app be found by its names. Conflict (names) when another
// IM app of the same kind has one of them.
func (t *Tx) setIMAppNames(m *IMApp) error {
	if err := t.Exec("DELETE FROM im_app_names WHERE im_app_id = ?", m.ID).Error; err != nil {
		return err
	}
	if m.DeletedAt != nil {
		return nil
	}
	for _, name := range strings.Fields(m.Names) {
		r := t.Exec("INSERT INTO im_app_names (bridge, name, im_app_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", m.Bridge, name, m.ID)
		if r.Error != nil {
			return r.Error
		}
		if r.RowsAffected == 0 {
			e := conflictField("names", "errors.im_app.names_taken")
			e.Data = map[string]any{"Value": firstRunes(name, 50)}
			return e
		}
	}
	return nil
}
