package vivo_test

import (
	"fmt"
	"testing"

	"hongyan/push"
	"hongyan/push/pushtest/lab"
	"hongyan/push/vivo"
	"hongyan/sandbox"
)

const secretOfLab = "8b1fd2a9-77aa-4c31-b0f3-a75d1e06c9d4"

// newLab is a simulator with one app.
func newLab(t *testing.T, change ...func(*sandbox.Config)) *lab.Lab {
	t.Helper()
	fields := map[string]string{
		"app_id": "105613227", "app_key": "0f2d6c3b7e5a49c8a1d4e6f708192a3b", "app_secret": secretOfLab,
	}
	account := sandbox.Account{ID: fields["app_id"], Fields: fields, Packages: []string{"com.example.im"}}
	return lab.New(t, vivo.Spec(), fields, account, change...)
}

func targets(n int) []push.Target { return lab.Targets(n, target) }

func target(n int) push.Target {
	return push.Target{Token: fmt.Sprintf("1690%019d", n), Topic: "com.example.im", ID: fmt.Sprintf("3f2504e0-4f89-41d3-9a0c-%012d", n), Ref: fmt.Sprintf("ref%d", n)}
}

func alert() push.Message {
	return push.Message{Kind: push.Alert, Title: "李雷", Body: "晚上一起吃饭吗？", Sound: "default"}
}
