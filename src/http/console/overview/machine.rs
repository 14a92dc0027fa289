//! Disk and memory at a glance.

use maud::{Markup, html};

use crate::http::{
    console::{
        Visit,
        parts::{meter, size},
    },
    resources::Resources,
};

/// The section.
pub fn section(visit: &Visit<'_>) -> Markup {
    let found = visit.daemon.resources();
    html! {
        section id="machine" {
            h2 { (visit.say("Disk and memory", "ディスクとメモリ")) }
            @if found.disk_is_short() {
                p class="note bad" {
                    @if visit.lang.japanese {
                        "ディスクの空きが少なくなっています。" (size(found.disk_free_min)) " を下回ると新しいメールを受け付けません。ファイルを削除するか、ディスクを拡張してください。"
                    } @else {
                        "The disk is nearly full. Below " (size(found.disk_free_min)) " free, new mail is answered 452: make room, or give it a larger disk."
                    }
                }
            }
            @if found.memory_is_short() {
                p class="note bad" {
                    (visit.say(
                        "The process is near its memory limit. It keeps to it by taking less mail at once; [server] memory_limit sets it.",
                        "メモリの使用量が上限に近づいています。同時に扱うメールを減らして上限を守ります（設定：[server] memory_limit）。",
                    ))
                }
            }
            dl class="gauges" { (disk(visit, &found)) (memory(visit, &found)) }
        }
    }
}

fn disk(visit: &Visit<'_>, found: &Resources) -> Markup {
    let ja = visit.lang.japanese;
    html! {
        div {
            dt { (visit.say("Disk", "ディスク")) }
            dd {
                @match (found.disk_free, found.disk_total) {
                    (Some(free), Some(total)) => {
                        p class="strong" {
                            @if ja { "空き " (size(free)) " / " (size(total)) } @else { (size(free)) " free of " (size(total)) }
                        }
                        (meter(total.saturating_sub(free), total, visit.say("Disk in use", "ディスク使用量")))
                    }
                    _ => p { (visit.say("The system does not say.", "取得できませんでした。")) },
                }
                p class="soft" {
                    @if ja {
                        "データベース " (size(found.database)) "、メール本文 " (size(found.bodies))
                    } @else {
                        "database " (size(found.database)) ", mail " (size(found.bodies))
                    }
                }
            }
        }
    }
}

fn memory(visit: &Visit<'_>, found: &Resources) -> Markup {
    let ja = visit.lang.japanese;
    html! {
        div {
            dt { (visit.say("Memory", "メモリ")) }
            dd {
                @match found.memory {
                    Some(used) => {
                        p class="strong" {
                            @if ja { (size(used)) " / 上限 " (size(found.memory_limit)) } @else { (size(used)) " of " (size(found.memory_limit)) " allowed" }
                        }
                        (meter(used, found.memory_limit, visit.say("Memory in use", "メモリ使用量")))
                    }
                    None => p { (visit.say("The system does not say.", "取得できませんでした。")) },
                }
                p class="soft" {
                    @if let Some(peak) = found.memory_peak {
                        @if ja { "起動後の最大 " (size(peak)) "、" } @else { "at most " (size(peak)) " since the start, " }
                    }
                    @if ja { "配信中のメール " (size(found.leased)) } @else { (size(found.leased)) " for mail on its way" }
                }
            }
        }
    }
}
