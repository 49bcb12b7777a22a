J`_…bC¼CŽbCùõB¶£-C½Ÿ·BvPZC"a¼B{BC«ÖC1h,C –ÙB QC8LC}„
Cc/-C¾?ÎB³áBöªGC©·C?’:C	³*CÝz¿BÒÁ0C