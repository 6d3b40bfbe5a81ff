-- Which songs did FLO rank on each day?
{{ typed_chart(source('charts', 'flo_chart')) }}
