// Package kit shows every component once, for tests and for the eye. The program
// does not import it.
package kit

import (
	"strings"

	"hongyan/views"
	c "hongyan/views/components"
)

// Decorate fills the frame of a page with samples.
func Decorate(path string, ch *views.Chrome) {
	ch.Nav = []views.NavGroup{
		{Items: []views.NavItem{
			{Label: "快速开始", Href: "/kit", Icon: "rocket", Count: "5/7"},
			{Label: "产品管理", Href: "/kit", Icon: "package", Current: strings.HasPrefix(path, "/kit")},
		}},
		{Label: "App推送管理", Items: []views.NavItem{{Label: "推送计划", Href: "/kit", Icon: "stack-2"}}},
	}
	if strings.HasPrefix(path, "/kit") {
		ch.App = &views.ChromeApp{Name: "蓝鲸企业聊 · Android", Platform: "android", State: "仅限IM推送（免费）", StateTone: c.Brand, Sandbox: true, SandboxURL: "/kit"}
		ch.Apps = []c.Link{{Label: "蓝鲸企业聊 · Android", Href: "/kit", Icon: "brand-android", Current: true}, {Label: "蓝鲸企业聊 · iOS", Href: "/kit", Icon: "brand-apple"}}
	}
}

func stages() []c.Stage {
	return []c.Stage{
		{Label: "计划发送", Figure: "128,406", Detail: "覆盖 38,212 位用户", Share: 100, Loss: "未发送", LossSum: "3,488", Reasons: []c.Reason{{Label: "OPPO 凭证暂停，等待续发", Figure: "1,206", Tone: c.Bad, Href: "/kit?state=waiting"}, {Label: "没有有效设备", Figure: "2,282"}}},
		{Label: "实际发送", Figure: "124,918", Detail: "占计划发送 97.3%", Share: 97.3, Loss: "未抵达", LossSum: "15,541", Reasons: []c.Reason{{Label: "厂商没有返回回执", Figure: "15,541", Tone: c.Warn}}},
		{Label: "抵达", Figure: "109,377", Detail: "占实际发送 87.6%", Share: 85.2, Loss: "未点击", LossSum: "95,158", Reasons: []c.Reason{{Label: "从通知栏清除", Figure: "95,158"}}},
		{Label: "点击", Figure: "14,219", Detail: "占抵达 13.0%", Share: 11.1},
	}
}

func lines() []c.Line {
	return []c.Line{
		{Label: "发送", Color: 1, Area: true, Values: []float64{2100, 1200, 800, 600, 500, 700, 1600, 3400, 7200, 9600, 10100, 9400}},
		{Label: "抵达", Color: 4, Values: []float64{1800, 1100, 700, 500, 400, 600, 1400, 3000, 6300, 8400, 8900, 8200}},
		{Label: "点击", Color: 2, Values: []float64{240, 130, 90, 70, 60, 80, 180, 390, 820, 1100, 1160, 1080}},
	}
}

func cols() []c.Col {
	return []c.Col{{Label: "应用"}, {Label: "服务详情"}, {Label: "AccessID"}, {Label: "通道"}, {Label: "昨日抵达", Num: true}, {Label: "操作", End: true}}
}
