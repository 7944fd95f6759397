package models

import "gorm.io/gorm"

// States of an app's service: 服务详情.
const (
	ServiceNew  = "new"  // 待配置: no package name or no credential yet
	ServiceAll  = "all"  // 全部推送
	ServiceIM   = "im"   // 仅限IM推送（免费）: authorized to an IM app
	ServiceFull = "full" // 完整推送: authorized, and opened by the main user
)

// Services lists the states.
func Services() []string { return []string{ServiceNew, ServiceAll, ServiceIM, ServiceFull} }

// Service returns the app's 服务详情. The column never holds ServiceFull: it is an
// authorized app with FullPush.
func (a *App) Service() string {
	if a.ServiceState == ServiceIM && a.FullPush {
		return ServiceFull
	}
	return a.ServiceState
}

// Use is a way to use an app.
type Use string

// Uses of an app.
const (
	UseIM         Use = "im"         // offline messages of the IM app
	UseTest       Use = "test"       // 发送测试推送
	UsePush       Use = "push"       // push tasks and the server API
	UseStatistics Use = "statistics" // statistics beyond the IM plan
)

// Gate says whether an app may be used in a way: the one place that knows what
// 仅限IM推送（免费） leaves out. Conflict with the guide's key when 完整推送 has to be
// opened first; NotFound for a deleted app.
func Gate(a *App, use Use) error {
	switch {
	case a == nil || a.DeletedAt != nil:
		return notFound("")
	case use == UseIM || a.Service() != ServiceIM:
		return nil
	}
	return conflict("errors.gate.im_only", map[string]any{"Use": string(use)})
}

// settle recomputes an app's service state after anything that it rests on has
// changed: authorization, package name, credentials, sandbox. After 解除授权 an app
// is thereby what it was, or what it has become meanwhile.
func (t *Tx) settle(appID int64) error {
	im, err := t.authorizedTo(appID)
	if err != nil {
		return err
	}
	state := ServiceNew
	switch {
	case im != nil:
		state = ServiceIM
	default:
		ready, err := t.configured(appID)
		if err != nil {
			return err
		}
		if ready {
			state = ServiceAll
		}
	}
	return t.Model(&App{}).Where("id = ? AND service_state <> ?", appID, state).UpdateColumn("service_state", state).Error
}

// configured reports whether an app could send: a package name and a credential of
// the kind in use.
func (t *Tx) configured(appID int64) (bool, error) {
	var n int64
	err := t.Model(&App{}).Where("id = ? AND package_name <> ''", appID).
		Where("EXISTS (?)", t.credentialsInUse(appID)).Count(&n).Error
	return n > 0, err
}

func (t *Tx) credentialsInUse(appID int64) *gorm.DB {
	return t.Table("credentials").Select("1").
		Where("owner_kind = ? AND owner_id = ? AND (environment = ?) = apps.sandbox", ownerApp, appID, EnvironmentSandbox)
}
